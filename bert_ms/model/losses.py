"""Losses of the heads, in float32, as the peers define them."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError
from bert_ms.model.heads.question_answering import QuestionAnswering


def log_softmax(logits: Tensor) -> Tensor:
    """Logarithm of the softmax over the last axis, float32.

    Written out because MindSpore's own on CPU is ten times less exact (3e-6 in the value, 1e-6 in the gradient).
    """
    shifted = logits - ops.stop_gradient(logits.max(-1, keepdims=True))
    return shifted - ops.log(ops.exp(shifted).sum(-1, keepdims=True))


def masked_cross_entropy(logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
    """Mean negative log-likelihood over the rows that count; 0 when none does.

    Args:
        logits: float32 [R, C].
        labels: int32 [R], in [0, C) wherever the row counts.
        is_counted: bool [R].

    Returns:
        float32 scalar.
    """
    log_probs_RC = log_softmax(logits)
    picked_R = ops.gather_elements(log_probs_RC, 1, ops.expand_dims(ops.select(is_counted, labels, labels * 0), 1))
    weight_R = ops.cast(is_counted, ms.float32)
    return -ops.reduce_sum(picked_R[:, 0] * weight_R) / ops.maximum(ops.reduce_sum(weight_R), Tensor(1.0, ms.float32))


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


# Head -> its loss, with the number of label tensors that it takes.
LOSSES: dict[type, tuple[type[nn.Cell], int]] = {QuestionAnswering: (SpanLoss, 2)}


class WithLoss(nn.Cell):
    """A network with its loss: (input_ids, attention_mask, token_type_ids, *labels[, dropout_key]) -> float32 scalar.

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
        self.network, self.loss = network, loss()

    def construct(self, *batch: Tensor) -> Tensor:
        end = 3 + self.labels
        if len(batch) > end:
            outputs = self.network(batch[0], batch[1], batch[2], batch[end])
        else:
            outputs = self.network(batch[0], batch[1], batch[2])
        return self.loss(outputs, *batch[3:end])
