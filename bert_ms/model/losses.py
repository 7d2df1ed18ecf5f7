"""Losses of the heads, in float32, as the peers define them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError
from bert_ms.model.heads.classification import MultipleChoice, NextSentence, SequenceClassification
from bert_ms.model.heads.crf import Crf, CrfTokenClassification
from bert_ms.model.heads.language_model import CausalLM, CrossCausalLM, MaskedLM, Pretraining
from bert_ms.model.heads.question_answering import QuestionAnswering
from bert_ms.model.heads.token_classification import TokenClassification
from bert_ms.records import INPUT_NAMES

# A label that does not count. Source: PyTorch's and Hugging Face's `ignore_index`.
IGNORED = -100


def row_losses(logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
    """Negative log-likelihood of each row's label; 0 for a row that does not count.

    Written out because MindSpore's own log-softmax on CPU is ten times less exact (3e-6 in the value, 1e-6 in the
    gradient), and without log-probabilities, which for a vocabulary of logits take a third more time.

    Args:
        logits: float32 [R, C].
        labels: int32 [R], in [0, C) wherever the row counts.
        is_counted: bool [R].

    Returns:
        float32 [R].
    """
    shifted_RC = logits - ops.stop_gradient(logits.max(-1, keepdims=True))
    log_sum_R = ops.log(ops.exp(shifted_RC).sum(-1))
    picked_R1 = ops.gather_elements(shifted_RC, 1, ops.expand_dims(ops.select(is_counted, labels, labels * 0), 1))
    return (log_sum_R - picked_R1[:, 0]) * ops.cast(is_counted, ms.float32)


def masked_cross_entropy(logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
    """Mean of `row_losses`, whose arguments these are, over the rows that count; 0 when none does."""
    total = ops.reduce_sum(row_losses(logits, labels, is_counted))
    return total / ops.maximum(ops.reduce_sum(ops.cast(is_counted, ms.float32)), Tensor(1.0, ms.float32))


class SpanLoss(nn.Cell):
    """Mean of the start's and the end's cross entropy over the sequence.

    Positions at or beyond S mark an answer outside the window and are ignored; a negative one counts as 0.
    Source: Hugging Face `BertForQuestionAnswering`.
    """

    def construct(self, outputs: tuple, start_positions: Tensor, end_positions: Tensor) -> Tensor:
        return (self.one(outputs[0], start_positions) + self.one(outputs[1], end_positions)) / 2

    def one(self, logits_BS: Tensor, positions_B: Tensor) -> Tensor:
        positions_B = ops.maximum(positions_B, positions_B * 0)
        return masked_cross_entropy(logits_BS, positions_B, positions_B < logits_BS.shape[1])


class LabelLoss(nn.Cell):
    """Mean cross entropy of one label a row or a token; IGNORED ones are left out.

    Shapes: logits float32 [..., L]; labels int32 [...].
    """

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        labels_R = ops.reshape(labels, (-1,))
        return masked_cross_entropy(ops.reshape(logits, (-1, logits.shape[-1])), labels_R, labels_R != IGNORED)


class NextWordLoss(nn.Cell):
    """Mean cross entropy of each position's logits against the NEXT position's label.

    Labels are shifted, not logits: those are V times larger. Source: Hugging Face `BertLMHeadModel`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = LabelLoss()

    def construct(self, logits_BSV: Tensor, labels_BS: Tensor) -> Tensor:
        nothing_B1 = ops.full_like(labels_BS[:, :1], IGNORED)
        return self.loss(logits_BSV, ops.concat((labels_BS[:, 1:], nothing_B1), 1))


class PretrainingLoss(nn.Cell):
    """Mean cross entropy of the masked words plus that of the next sentence.

    Source: Devlin et al. 2019, section A.2.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = LabelLoss()

    def construct(self, outputs: tuple, labels_BS: Tensor, next_sentence_label_B: Tensor) -> Tensor:
        return self.loss(outputs[0], labels_BS) + self.loss(outputs[1], next_sentence_label_B)


class RegressionLoss(nn.Cell):
    """Mean squared difference. Shapes: values float32 [B, L]; labels float32 [B] (L = 1) or [B, L]."""

    def construct(self, values_BL: Tensor, labels: Tensor) -> Tensor:
        difference_BL = values_BL - ops.reshape(ops.cast(labels, ms.float32), values_BL.shape)
        return ops.reduce_mean(difference_BL * difference_BL)


class MultiLabelLoss(nn.Cell):
    """Mean binary cross entropy of every label by itself. Shapes: logits, labels (0 to 1) float32 [B, L]."""

    def construct(self, logits_BL: Tensor, labels_BL: Tensor) -> Tensor:
        # log(1 + exp(x)) - y x, written so that nothing overflows.
        softplus_BL = ops.maximum(logits_BL, logits_BL * 0) + ops.log(1.0 + ops.exp(-ops.abs(logits_BL)))
        return ops.reduce_mean(softplus_BL - logits_BL * ops.cast(labels_BL, ms.float32))


class SequenceLoss(nn.Cell):
    """The loss of a sequence classifier: by `problem_type`, or where that is None by labels, as Hugging Face does.

    One output is a regression; of several, whole numbers [B] name one label a row, floats [B, L] weigh all labels.

    Args:
        problem_type: of the config.
        num_labels: L.
    """

    def __init__(self, problem_type: str | None, num_labels: int):
        super().__init__()
        self.kind = "regression" if problem_type is None and num_labels == 1 else problem_type
        self.single, self.multiple, self.regression = LabelLoss(), MultiLabelLoss(), RegressionLoss()

    def construct(self, logits_BL: Tensor, labels: Tensor) -> Tensor:
        if self.kind == "regression":
            return self.regression(logits_BL, labels)
        if self.kind == "single_label_classification" or (self.kind is None and labels.ndim == 1):
            return self.single(logits_BL, labels)
        return self.multiple(logits_BL, labels)


def _sequence_loss(network: SequenceClassification) -> nn.Cell:
    return SequenceLoss(network.config.problem_type, network.config.num_labels or 1)


def _crf_loss(network: CrfTokenClassification) -> Crf:
    return network.crf


def _of(loss: type[nn.Cell]) -> Callable[[nn.Cell], nn.Cell]:
    return lambda _network: loss()


# Head -> what makes its loss for a network, with the number of label tensors that it takes.
LOSSES: dict[type, tuple[Callable[[Any], nn.Cell], int]] = {
    QuestionAnswering: (_of(SpanLoss), 2),
    Pretraining: (_of(PretrainingLoss), 2),
    MaskedLM: (_of(LabelLoss), 1),
    CausalLM: (_of(NextWordLoss), 1),
    CrossCausalLM: (_of(NextWordLoss), 1),
    NextSentence: (_of(LabelLoss), 1),
    SequenceClassification: (_sequence_loss, 1),
    MultipleChoice: (_of(LabelLoss), 1),
    TokenClassification: (_of(LabelLoss), 1),
    CrfTokenClassification: (_crf_loss, 1),
}


class WithLoss(nn.Cell):
    """A network with its loss: (input_ids, attention_mask, token_type_ids, *labels[, dropout_key]) -> float32 scalar.

    A decoder with cross attention takes its two further inputs before the labels.

    Args:
        network: a Cell with a task head.

    Raises:
        ConfigError: the network has no loss, as an encoder without a head.
    """

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        if type(network) not in LOSSES:
            heads = ", ".join(sorted(head.__name__ for head in LOSSES))
            raise ConfigError(f"{type(network).__name__} has no loss: give a network with a head ({heads}).")
        loss, self.labels = LOSSES[type(network)]
        self.inputs = getattr(network, "inputs", len(INPUT_NAMES))
        self.network, self.loss = network, loss(network)

    def construct(self, *batch: Tensor) -> Tensor:
        end = self.inputs + self.labels
        if len(batch) > end:
            outputs = self.network(*batch[: self.inputs], batch[end])
        else:
            outputs = self.network(*batch[: self.inputs])
        return self.loss(outputs, *batch[self.inputs : end])
