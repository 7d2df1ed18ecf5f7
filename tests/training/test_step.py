"""The train step: gradients, clipping, accumulation, loss scale."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from bert_ms.config import OptimizerConfig
from bert_ms.training.groups import parameter_groups
from bert_ms.training.optimizers import build_optimizer
from bert_ms.training.step import TrainStep
from tests.training.standins import LinearLoss, linear_data

RATE = 0.1


class Run:
    """A stand-in network and its step, fed from numpy."""

    def __init__(self, *, optimizer: OptimizerConfig | None = None, scale: float | None = None, **step):
        self.network = LinearLoss()
        config = optimizer or OptimizerConfig(name="momentum", momentum=0.0, weight_decay=0.0)
        parameters = {p.name: p for p in self.network.trainable_params()}
        self.optimizer = build_optimizer(parameters, parameter_groups(list(parameters), config), config)
        self.scale = 1.0 if scale is None else scale
        self.step = TrainStep(self.network, self.optimizer, has_scale=scale is not None, has_dropout_key=False, **step)
        self.accumulate = step.get("accumulate", 1)
        self.updates = 0

    def update(self, x: np.ndarray, y: np.ndarray) -> tuple[float, float, bool]:
        """One update on all rows, in as many micro-batches as are accumulated; the mean loss, the norm, applied."""
        losses = []
        parts = zip(np.split(x, self.accumulate), np.split(y, self.accumulate), strict=True)
        for number, (some_x, some_y) in enumerate(parts, 1):
            loss, norm, applied = self.step(
                Tensor(number == self.accumulate), Tensor(np.zeros(2, np.int32)), Tensor(self.scale, ms.float32),
                Tensor(self.optimizer.numbers(RATE, self.updates + 1)), Tensor(some_x), Tensor(some_y),
            )  # fmt: skip
            losses.append(float(loss))
        self.updates += bool(applied)
        return float(np.mean(losses)), float(norm), bool(applied)

    def values(self) -> dict[str, np.ndarray]:
        return {p.name: p.asnumpy().copy() for p in self.network.trainable_params()}


def norm_of(gradients) -> float:
    return float(np.sqrt(sum((g**2).sum() for g in gradients)))


def test_norm_and_loss_are_those_of_the_batch(graph_mode):
    x, y = linear_data(4)
    run = Run(max_grad_norm=None)
    expected = norm_of(run.network.gradients(x, y))
    loss, norm, _ = run.update(x, y)
    assert norm == pytest.approx(expected, rel=1e-6)
    assert loss == pytest.approx(
        float(np.mean((x @ LinearLoss().weight.asnumpy() + LinearLoss().bias.asnumpy() - y) ** 2))
    )


@pytest.mark.parametrize("limit", [None, 0.5, 1e6])
def test_gradients_are_clipped_by_their_global_norm(graph_mode, limit):
    x, y = linear_data(4)
    run = Run(max_grad_norm=limit)
    before, gradients = run.values(), run.network.gradients(x, y)
    factor = 1.0 if limit is None else min(1.0, limit / norm_of(gradients))
    run.update(x, y)
    for (name, value), gradient in zip(before.items(), gradients, strict=True):
        np.testing.assert_allclose(run.values()[name], value - RATE * factor * gradient, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "lamb", "momentum"])
def test_accumulated_micro_batches_equal_the_big_batch(graph_mode, name):
    x, y = linear_data(8)
    big, small = (Run(optimizer=OptimizerConfig(name=name), accumulate=k) for k in (1, 4))
    for _ in range(3):
        big_result, small_result = big.update(x, y), small.update(x, y)
        assert small_result == pytest.approx(big_result, rel=1e-6)
    for one, other in zip(big.values().values(), small.values().values(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-7)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_scale_changes_nothing_but_the_gradients_size(graph_mode, accumulate):
    x, y = linear_data(4)
    plain, scaled = (Run(optimizer=OptimizerConfig(), scale=scale, accumulate=accumulate) for scale in (None, 65536.0))
    for _ in range(3):
        assert scaled.update(x, y) == pytest.approx(plain.update(x, y), rel=1e-6)
    for one, other in zip(plain.values().values(), scaled.values().values(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_overflow_changes_no_weight_and_no_slot_and_leaves_no_trace(graph_mode, accumulate):
    x, y = linear_data(4)
    run = Run(optimizer=OptimizerConfig(), scale=1024.0, accumulate=accumulate)
    undisturbed = Run(optimizer=OptimizerConfig(), scale=1024.0, accumulate=accumulate)
    run.update(x, y)
    undisturbed.update(x, y)
    _, norm, applied = run.update(x * np.float32(np.inf), y)
    assert not applied and not np.isfinite(norm)
    assert run.update(x, y) == undisturbed.update(x, y)
    for slots, others in zip(run.optimizer.slots.values(), undisturbed.optimizer.slots.values(), strict=True):
        for slot, other in zip(slots, others, strict=True):
            np.testing.assert_array_equal(slot.asnumpy(), other.asnumpy())


def test_a_frozen_parameter_does_not_move(graph_mode):
    x, y = linear_data(4)
    run = Run(optimizer=OptimizerConfig(freeze=("bias",)))
    before = run.values()
    run.update(x, y)
    assert (run.values()["bias"] == before["bias"]).all()
    assert (run.values()["weight"] != before["weight"]).all()


def test_a_new_learning_rate_does_not_compile_again(graph_mode):
    x, y = linear_data(4)
    run = Run(optimizer=OptimizerConfig())
    run.update(x, y)
    compiled = len(run.step.compile_cache)
    for _ in range(3):
        run.update(x, y)
    assert len(run.step.compile_cache) == compiled > 0
