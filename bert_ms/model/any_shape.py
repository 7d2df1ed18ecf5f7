"""One graph of a network for every shape of its inputs, where its operators take any."""

from __future__ import annotations

from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.classification import ChoiceScores, NextSentence, SequenceClassification
from bert_ms.model.heads.crf import CrfTokenClassification
from bert_ms.model.heads.language_model import MaskedLM, Pretraining
from bert_ms.model.heads.masked_positions import MaskedPositionsLogits
from bert_ms.model.heads.question_answering import QuestionAnswering
from bert_ms.model.heads.token_classification import TokenClassification
from bert_ms.model.pooling import SentenceVectors, TokenVectors
from bert_ms.records import INPUT_NAMES

# Networks that run as fast in such a graph as in one of a known shape.
_HEADS = (QuestionAnswering, SequenceClassification, NextSentence, ChoiceScores, TokenClassification,
          CrfTokenClassification, MaskedLM, Pretraining, TokenVectors)  # fmt: skip


class AnyShape(nn.Cell):
    """A network in evaluation whose graph is compiled once, whatever [B, S] its inputs have.

    Args:
        network: whose graph it is.
        bert: the encoder in it.
        inputs: how many int32 [B, S] it takes; all are given always.
    """

    def __init__(self, network: nn.Cell, bert: BertModel, inputs: int):
        super().__init__(auto_prefix=False)
        network.init_parameters_data()
        # No child, as by plain assignment: MindSpore walks through all Cells inside one each time that it is called.
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "bert", bert)
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

    def parameters_dict(self, recurse: bool = True) -> dict[str, Parameter]:
        """The network's, which MindSpore fills a graph with that it takes from its compile cache."""
        found: dict[str, Parameter] = self.network.parameters_dict(recurse)
        return found

    def construct(self, *inputs: Tensor) -> tuple[Tensor, ...] | Tensor:
        return self.network(*inputs)


def _check_ids(ids: Tensor, rows: int, name: str, size: str) -> None:
    values = ids.asnumpy()
    least, most = int(values.min(initial=0)), int(values.max(initial=0))
    if least < 0 or most >= rows:
        raise ValueError(f"{name} hold {least if least < 0 else most}, and {size} is {rows}: expected 0 to {rows - 1}.")


def any_shape(network: Any) -> AnyShape | None:
    """The network with one graph for every shape; None where it needs one for each.

    Args:
        network: takes int32 input_ids, attention_mask and token_type_ids [B, S], and masked_positions [B, P] if it is
            `MaskedPositionsLogits`.
    """
    bert = _encoder(network)
    if bert is None or bert.whole is None or bert.has_hidden_states or bert.has_attentions:
        return None
    return AnyShape(network, bert, len(INPUT_NAMES) + isinstance(network, MaskedPositionsLogits))


def _encoder(network: Any) -> BertModel | None:
    """The encoder of a network that otherwise consists of operators of any shape."""
    if type(network) is BertModel:
        return network
    if type(network) is MaskedPositionsLogits:
        return _encoder(network.network)
    if type(network) is SentenceVectors:
        return _encoder(network.tokens)
    if type(network) not in _HEADS or getattr(network, "lstm", None) is not None:
        return None
    bert: BertModel = network.bert
    return bert
