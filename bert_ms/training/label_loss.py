"""Cross entropy of class labels as training may reshape it: class weights, label smoothing, focal loss."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms.model.losses import IGNORED

# Part of the probability that is left for all other labels: the focal factor's slope stays finite at 0.
_LEAST_REST = 1e-30


class ShapedLabelLoss(nn.Cell):
    """Mean cross entropy of one label a row or a token, weighted by class, smoothed, and focused on what is hard.

    A row with the label y, its probability p and log-probabilities l costs

        (1 - p)^gamma * ((1 - smoothing) * -weight[y] l[y] + smoothing / L * sum over c of -weight[c] l[c])

    and the sum over rows is divided by the sum of their weight[y]. With gamma 0 this is PyTorch's
    `cross_entropy(weight=, label_smoothing=, ignore_index=-100)`; where no weight is left, it is 0.

    Args:
        smoothing: part of each label's probability that is spread over all labels.
        gamma: exponent of the focal factor.
        weights: float32 [L], or None for equal ones.

    Shapes: logits float32 [..., L]; labels int32 [...], IGNORED ones are left out.
    Source: smoothing, Szegedy et al. 2016, section 7; focal factor, Lin et al. 2017, equation 4.
    """

    def __init__(self, *, smoothing: float = 0.0, gamma: float = 0.0, weights: np.ndarray | None = None):
        super().__init__(auto_prefix=False)
        self.smoothing, self.gamma = smoothing, gamma
        self.weights = None if weights is None else Tensor(np.asarray(weights, np.float32)[None])

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        C = logits.shape[-1]
        logits_RC, labels_R = ops.reshape(logits, (-1, C)), ops.reshape(labels, (-1,))
        is_counted_R = labels_R != IGNORED
        is_label_RC = ops.expand_dims(labels_R, 1) == ops.expand_dims(ops.arange(0, C, 1, dtype=ms.int32), 0)
        label_RC = ops.cast(is_label_RC, ms.float32)  # all 0 where the row does not count
        shifted_RC = logits_RC - ops.stop_gradient(logits_RC.max(-1, keepdims=True))
        exp_RC = ops.exp(shifted_RC)
        total_R1 = exp_RC.sum(-1, keepdims=True)
        costs_RC = ops.log(total_R1) - shifted_RC
        weighted_RC = costs_RC if self.weights is None else costs_RC * self.weights
        weight_RC = label_RC if self.weights is None else label_RC * self.weights
        row_R = (weighted_RC * label_RC).sum(-1)
        if self.smoothing > 0:
            row_R = row_R * (1.0 - self.smoothing) + weighted_RC.sum(-1) * (self.smoothing / C)
        if self.gamma > 0:
            rest_R = (exp_RC * (1.0 - label_RC)).sum(-1) / total_R1[:, 0]
            row_R = row_R * ops.exp(self.gamma * ops.log(ops.maximum(rest_R, Tensor(_LEAST_REST, ms.float32))))
        weight = ops.reduce_sum(weight_RC)
        total = ops.reduce_sum(row_R * ops.cast(is_counted_R, ms.float32))
        return total / ops.select(weight > 0, weight, ops.ones_like(weight))


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights by which every class that occurs counts the same: rows / (classes that occur * rows of the class).

    Args:
        labels: of the training data, any shape; IGNORED ones are left out.
        classes: number of labels L.

    Returns:
        float32 [L]; 0 for a class that does not occur.

    Source: King and Zeng 2001, in the form of scikit-learn's `class_weight="balanced"`.
    """
    counts = np.bincount(labels[labels != IGNORED].reshape(-1), minlength=classes)[:classes]
    occurring = counts > 0
    return np.where(occurring, counts.sum() / (max(occurring.sum(), 1) * np.maximum(counts, 1)), 0).astype(np.float32)
