"""One graph of a network for every shape of its inputs, where its operators take any."""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.classification import NextSentence, SequenceClassification
from bert_ms.model.heads.crf import CrfTokenClassification
from bert_ms.model.heads.language_model import MaskedLM, Pretraining
from bert_ms.model.heads.masked_positions import MaskedPositionsLogits
from bert_ms.model.heads.question_answering import QuestionAnswering
from bert_ms.model.heads.token_classification import TokenClassification
from bert_ms.records import INPUT_NAMES

# Networks that run as fast in such a graph as in one of a known shape.
_HEADS = (QuestionAnswering, SequenceClassification, NextSentence, TokenClassification, CrfTokenClassification,
          MaskedLM, Pretraining)  # fmt: skip


class AnyShape(nn.Cell):
    """A network in evaluation whose graph is compiled once, whatever [B, S] its inputs have.

    Args:
        network: whose graph it is.
        bert: the encoder in it.
        inputs: how many int32 [B, S] it takes; all are given always.
    """

    def __init__(self, network: nn.Cell, bert: BertModel, inputs: int):
        super().__init__(auto_prefix=False)
        self.network, self.bert = network, bert
        self.compiled_for: list[Any] = []
        self.set_inputs(*(Tensor(shape=[None, None], dtype=ms.int32) for _ in range(inputs)))

    def __call__(self, *inputs: Tensor) -> Any:
        """Run it, by a new graph where the network is not what it was.

        Raises:
            ValueError: an id is outside its table, or see `BertModel`.
            RuntimeError: the graph failed; the next batch compiles a new one.
        """
        ids, mask, types = inputs[: len(INPUT_NAMES)]
        self.bert.check(ids, mask, types)
        _check_ids(ids, self.bert.config.vocab_size, "input_ids", "vocab_size")
        _check_ids(types, self.bert.config.type_vocab_size, "token_type_ids", "type_vocab_size")
        now = [self.bert.whole, self.bert.has_hidden_states, self.bert.has_attentions, self.network.training]
        if self.compiled_for != now:
            self.compile_cache.clear()
            self.compiled_for = now
        try:
            return super().__call__(*inputs)
        except RuntimeError:
            self.compiled_for = []  # MindSpore refuses all that comes after a failure, by the graph that failed
            raise

    def construct(self, *inputs: Tensor) -> tuple[Tensor, ...] | Tensor:
        return self.network(*inputs)


def _check_ids(ids: Tensor, rows: int, name: str, size: str) -> None:
    least, most = (int(limit(ids.asnumpy(), initial=0)) for limit in (np.min, np.max))
    if least < 0 or most >= rows:
        raise ValueError(f"{name} hold {least if least < 0 else most}, and {size} is {rows}: expected 0 to {rows - 1}.")


def any_shape(network: Any) -> AnyShape | None:
    """The network with one graph for every shape; None where it needs one for each.

    Args:
        network: takes int32 input_ids, attention_mask and token_type_ids [B, S], and masked_positions [B, P] if it is
            `MaskedPositionsLogits`.
    """
    has_positions = isinstance(network, MaskedPositionsLogits)
    inner = network.network if has_positions else network
    bert = inner if type(inner) is BertModel else inner.bert if type(inner) in _HEADS else None
    if bert is None or bert.whole is None or bert.has_hidden_states or bert.has_attentions:
        return None
    if getattr(inner, "lstm", None) is not None:
        return None
    return AnyShape(network, bert, len(INPUT_NAMES) + has_positions)
