"""R-Drop: two passes over each batch under different dropout, which are to say the same."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.model import WithLoss
from bert_ms.model.losses import IGNORED, MultiLabelLoss, RegressionLoss, SequenceLoss


def log_softmax(logits_RC: Tensor) -> Tensor:
    """Log-probabilities [R, C]; MindSpore's own are ten times less exact on a CPU."""
    shifted_RC = logits_RC - ops.stop_gradient(logits_RC.max(-1, keepdims=True))
    return shifted_RC - ops.log(ops.exp(shifted_RC).sum(-1, keepdims=True))


class Categorical(nn.Cell):
    """Half the sum of both Kullback-Leibler divergences of softmax(one) and softmax(other), mean over what counts.

    Shapes: one, other float32 [..., C]; labels [...]: where these are IGNORED, nothing counts. Labels of another shape
    are not looked at.
    """

    def construct(self, one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
        C = one.shape[-1]
        p_RC, q_RC = log_softmax(ops.reshape(one, (-1, C))), log_softmax(ops.reshape(other, (-1, C)))
        each_R = 0.5 * ((ops.exp(p_RC) - ops.exp(q_RC)) * (p_RC - q_RC)).sum(-1)
        if labels.shape != one.shape[:-1]:
            return ops.reduce_mean(each_R)
        counted_R = ops.cast(ops.reshape(labels, (-1,)) != IGNORED, ms.float32)
        return ops.reduce_sum(each_R * counted_R) / ops.maximum(ops.reduce_sum(counted_R), Tensor(1.0, ms.float32))


class Bernoulli(nn.Cell):
    """As `Categorical`, for labels [B, L] that are each true or false by themselves."""

    def construct(self, one_BL: Tensor, other_BL: Tensor, labels: Tensor) -> Tensor:
        # With two outcomes, (p - q) (log p - log q) summed over both is (p - q) times the difference of the logits.
        return 0.5 * ops.reduce_mean((ops.sigmoid(one_BL) - ops.sigmoid(other_BL)) * (one_BL - other_BL))


class Squared(nn.Cell):
    """Mean squared difference, of values that are no distribution."""

    def construct(self, one: Tensor, other: Tensor, labels: Tensor) -> Tensor:
        return ops.reduce_mean((one - other) * (one - other))


def divergence_of(loss: nn.Cell) -> nn.Cell:
    """What tells two outputs of a network with this loss apart: (one, other, labels) -> float32 scalar."""
    kinds = {"regression": Squared, "multi_label_classification": Bernoulli}
    if isinstance(loss, SequenceLoss):
        return kinds.get(loss.kind or "", Categorical)()
    return {RegressionLoss: Squared, MultiLabelLoss: Bernoulli}.get(type(loss), Categorical)()


class RDrop(nn.Cell):
    """The mean loss of two passes plus alpha times the divergence of their outputs.

    Both passes are one, over the batch with itself behind it: masks are derived from (seed, micro-step) and the
    element's number, so that the second half has other masks than the first, and always the same ones.

    Args:
        minimised: the network with its loss.
        alpha: weight of the divergence.

    Source: Wu et al. 2021, section 2.2, equations 2 to 4, in the published code's form: the mean of both losses, where
        equation 3 has their sum; for regression the squared difference of both outputs.
    """

    def __init__(self, minimised: WithLoss, alpha: float):
        super().__init__(auto_prefix=False)
        self.network, self.loss, self.labels = minimised.network, minimised.loss, minimised.labels
        self.alpha, self.divergence = alpha, divergence_of(minimised.loss)

    def construct(self, *batch: Tensor) -> Tensor:
        end = 3 + self.labels
        rows = batch[0].shape[0]
        inputs = (self.twice(batch[0]), self.twice(batch[1]), self.twice(batch[2]))
        outputs = self.network(*inputs, batch[end]) if len(batch) > end else self.network(*inputs)
        labels: tuple = ()
        for one in batch[3:end]:
            labels = (*labels, self.twice(one))
        loss = self.loss(outputs, *labels)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        divergence = ops.zeros_like(loss)
        for k in range(len(outputs)):
            label = batch[3 + k] if k < self.labels else batch[3]
            divergence = divergence + self.divergence(outputs[k][:rows], outputs[k][rows:], label)
        return loss + divergence * (self.alpha / len(outputs))

    def twice(self, x: Tensor) -> Tensor:
        return ops.concat((x, x), 0)
