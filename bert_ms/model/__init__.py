"""BERT and NEZHA as MindSpore Cells, in the model's own order: embeddings to heads."""

from bert_ms.model.bert import BertModel
from bert_ms.model.build import HEADS, build
from bert_ms.model.losses import WithLoss
from bert_ms.model.rounding import check_rounding, count_parameters, round_to_int8

__all__ = ["HEADS", "BertModel", "WithLoss", "build", "check_rounding", "count_parameters", "round_to_int8"]
