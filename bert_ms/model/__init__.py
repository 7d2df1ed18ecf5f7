"""BERT and NEZHA as MindSpore Cells, in the model's own order: embeddings to heads."""

from bert_ms.model.bert import BertModel
from bert_ms.model.build import HEADS, build
from bert_ms.model.losses import WithLoss

__all__ = ["HEADS", "BertModel", "WithLoss", "build"]
