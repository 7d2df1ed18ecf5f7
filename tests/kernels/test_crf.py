"""The CRF's loss and gradients, native and twin, against the forward-backward algorithm in float64."""

from __future__ import annotations

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")

from mindspore import Tensor, nn  # noqa: E402

from bert_ms.kernels import ops  # noqa: E402

B, S, C = 4, 13, 5
# Full; a hole and padding; one token; none.
COUNTED = np.array([[1] * S, [1, 1, 0, 0, 1, 1, 1, 0, 1] + [0] * 4, [0, 0, 1] + [0] * 10, [0] * S], bool)


def log_sum(x: np.ndarray, axis: int) -> np.ndarray:
    most = x.max(axis, keepdims=True)
    return (most + np.log(np.exp(x - most).sum(axis, keepdims=True))).squeeze(axis)


def exact(logits: np.ndarray, steps: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss of one row and its gradients, float64."""
    logits, steps = logits.astype(np.float64), steps.astype(np.float64)
    of_logits, of_steps = np.zeros_like(logits), np.zeros_like(steps)
    at = np.nonzero(labels >= 0)[0]
    if not len(at):
        return 0.0, of_logits, of_steps
    ahead = [logits[at[0]] + steps[:, C - 2]]
    for s in at[1:]:
        ahead.append(logits[s] + log_sum(steps + ahead[-1], 1))
    behind = steps[C - 1]
    total = log_sum(ahead[-1] + behind, 0)
    for k in reversed(range(len(at))):
        share = np.exp(ahead[k] + behind - total)
        of_logits[at[k]] = share
        if k == len(at) - 1:
            of_steps[C - 1] += share
        if k == 0:
            of_steps[:, C - 2] += share
        else:
            both = (logits[at[k]] + behind)[:, None] + steps
            of_steps += np.exp(both + ahead[k - 1] - total)
            behind = log_sum(both, 0)
    score, origin = 0.0, C - 2
    for s in at:
        score += logits[s, labels[s]] + steps[labels[s], origin]
        of_logits[s, labels[s]] -= 1
        of_steps[labels[s], origin] -= 1
        origin = labels[s]
    of_steps[C - 1, origin] -= 1
    return total - score - steps[C - 1, origin], of_logits, of_steps


class Weighed(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.loss = ops.CrfLoss(C)

    def construct(self, logits: Tensor, steps: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        return (self.loss(logits, steps, labels) * weight).sum()


def drawn(size: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    logits, steps = rng.normal(0, size, (B, S, C)), rng.normal(0, size, (C, C))
    steps[C - 2], steps[:, C - 1] = -10000, -10000
    labels = np.where(COUNTED, rng.integers(0, C - 2, (B, S)), -100)
    return logits.astype(np.float32), steps.astype(np.float32), labels.astype(np.int32)


def test_loss_and_gradients_are_the_definition(kernels: str, any_mode: str) -> None:
    logits, steps, labels = drawn(2.0)
    weight = np.array([1.0, -0.5, 2.0, 3.0], np.float32)
    expected = [exact(x, steps, y) for x, y in zip(logits, labels, strict=True)]
    got = ops.CrfLoss(C)(*map(Tensor, (logits, steps, labels))).asnumpy()
    np.testing.assert_allclose(got, [loss for loss, _, _ in expected], rtol=1e-6, atol=1e-6)
    gradient = ms.grad(Weighed(), (0, 1))
    of_logits, of_steps = gradient(*map(Tensor, (logits, steps, labels, weight)))
    np.testing.assert_allclose(
        of_logits.asnumpy(), [w * x for w, (_, x, _) in zip(weight, expected, strict=True)], atol=2e-6
    )
    np.testing.assert_allclose(
        of_steps.asnumpy(), sum(w * x for w, (_, _, x) in zip(weight, expected, strict=True)), atol=5e-6
    )


@pytest.mark.parametrize("size", [60.0, 2000.0])
def test_scores_whose_exponentials_overflow_stay_exact(size: float, native: None, graph_mode: None) -> None:
    logits, steps, labels = drawn(size)
    expected = [exact(x, steps, y) for x, y in zip(logits, labels, strict=True)]
    got = ops.CrfLoss(C)(*map(Tensor, (logits, steps, labels))).asnumpy()
    np.testing.assert_allclose(got, [loss for loss, _, _ in expected], rtol=1e-6)
    of_logits, of_steps = ms.grad(Weighed(), (0, 1))(*map(Tensor, (logits, steps, labels, np.ones(B, np.float32))))
    np.testing.assert_allclose(of_logits.asnumpy(), [x for _, x, _ in expected], atol=1e-6)
    np.testing.assert_allclose(of_steps.asnumpy(), sum(x for _, _, x in expected), atol=1e-5)


@pytest.mark.parametrize("label", [C, -1])
def test_a_label_that_is_none_makes_the_rows_loss_not_a_number(label: int, native: None, graph_mode: None) -> None:
    logits, steps, labels = drawn(1.0)
    labels[1, 4] = label
    got = ops.CrfLoss(C)(*map(Tensor, (logits, steps, labels))).asnumpy()
    np.testing.assert_array_equal(np.isnan(got), [False, True, False, False])
