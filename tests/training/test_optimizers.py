"""The optimisers compute what their sources define."""

from __future__ import annotations

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from bert_ms.config import OptimizerConfig
from bert_ms.errors import ConfigError
from bert_ms.training.groups import ParameterGroup, parameter_groups
from bert_ms.training.optimizers import OPTIMIZERS, Optimizer, build_optimizer

TORCH = Path(__file__).parent.parent / "data" / "training" / "adamw.npz"


def optimizer_for(values: dict[str, np.ndarray], config: OptimizerConfig) -> tuple[Optimizer, dict[str, Parameter]]:
    parameters = {name: Parameter(Tensor(value), name=name) for name, value in values.items()}
    return build_optimizer(parameters, parameter_groups(list(values), config), config), parameters


def update(
    optimizer: Optimizer, rate: float, number: int, gradients: dict[str, np.ndarray], factor: float = 1.0
) -> None:
    ordered = [Tensor(gradients[name]) for name in optimizer.names]
    optimizer(Tensor(optimizer.numbers(rate, number)), Tensor(factor, ms.float32), *ordered)


def test_adamw_equals_torch_over_20_steps(graph_mode):
    golden = np.load(TORCH)
    config = OptimizerConfig(weight_decay=float(golden["decay"]), eps=float(golden["eps"]))
    optimizer, parameters = optimizer_for({name: golden[name] for name in ("weight", "bias")}, config)
    for step, rate in enumerate(golden["rates"]):
        update(optimizer, float(rate), step + 1, {n: golden[f"{n}_gradients"][step] for n in ("weight", "bias")})
        for name, parameter in parameters.items():
            np.testing.assert_allclose(parameter.asnumpy(), golden[f"{name}_after"][step], atol=1e-6, rtol=0)


def test_adamw_without_bias_correction_is_the_original(graph_mode):
    rng = np.random.default_rng(3)
    values = {"weight": rng.standard_normal((4, 2)).astype(np.float32)}
    config = OptimizerConfig(bias_correction=False, weight_decay=0.1)
    optimizer, parameters = optimizer_for(values, config)
    expected, m, v = values["weight"].astype(np.float64), 0.0, 0.0
    for number in range(1, 6):
        gradient = rng.standard_normal((4, 2)).astype(np.float32)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
        expected = expected - 0.01 * (m / (np.sqrt(v) + 1e-6) + 0.1 * expected)
        update(optimizer, 0.01, number, {"weight": gradient})
    np.testing.assert_allclose(parameters["weight"].asnumpy(), expected, rtol=1e-4, atol=1e-6)


def lamb_reference(value, gradients, *, rate, decay, is_scaled):
    p, m, v = value.astype(np.float64), 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
        step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6) + decay * p
        norms = np.linalg.norm(p), np.linalg.norm(step)
        ratio = min(norms[0] / norms[1], 10) if is_scaled and min(norms) > 0 else 1.0
        p = p - rate * ratio * step
    return p


@pytest.mark.parametrize("size", [1.0, 1000.0, 0.0], ids=["ordinary", "ratio above 10", "zero weight"])
def test_lamb_scales_weights_by_the_clipped_trust_ratio(graph_mode, size):
    rng = np.random.default_rng(4)
    values = {n: (size * rng.standard_normal(s)).astype(np.float32) for n, s in (("weight", (4, 3)), ("bias", (3,)))}
    gradients = {n: rng.standard_normal((5, *v.shape)).astype(np.float32) for n, v in values.items()}
    optimizer, parameters = optimizer_for(values, OptimizerConfig(name="lamb"))
    for step in range(5):
        update(optimizer, 0.01, step + 1, {n: g[step] for n, g in gradients.items()})
    for name, decay in (("weight", 0.01), ("bias", 0.0)):
        expected = lamb_reference(values[name], gradients[name], rate=0.01, decay=decay, is_scaled=name == "weight")
        np.testing.assert_allclose(parameters[name].asnumpy(), expected, rtol=2e-5, atol=2e-6)


def test_momentum_accumulates_velocity(graph_mode):
    rng = np.random.default_rng(5)
    value, gradients = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((5, 4, 3)).astype(np.float32)
    optimizer, parameters = optimizer_for({"weight": value}, OptimizerConfig(name="momentum", momentum=0.8))
    expected, velocity = value.astype(np.float64), 0.0
    for number, gradient in enumerate(gradients, 1):
        update(optimizer, 0.1, number, {"weight": gradient})
        velocity = 0.8 * velocity + gradient + 0.01 * expected
        expected = expected - 0.1 * velocity
    np.testing.assert_allclose(parameters["weight"].asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_factor_multiplies_every_gradient(graph_mode, name):
    rng = np.random.default_rng(6)
    value, gradient = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((4, 3)).astype(np.float32)
    config = OptimizerConfig(name=name)
    results = []
    for factor in (1.0, 0.25):
        optimizer, parameters = optimizer_for({"weight": value}, config)
        update(optimizer, 0.1, 1, {"weight": gradient / np.float32(factor)}, factor)
        results.append(parameters["weight"].asnumpy().copy())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_layer_decay_scales_the_rate_of_each_group(graph_mode, name):
    names = [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layers.0.attention.query.weight",
        "qa_outputs.weight",
    ]
    value = np.full((2, 2), 0.5, np.float32)
    config = OptimizerConfig(name=name, layer_decay=0.5, weight_decay=0.0)
    optimizer, parameters = optimizer_for({n: value for n in names}, config)
    update(optimizer, 0.01, 1, {n: np.ones((2, 2), np.float32) for n in names})
    moved = [float((value - parameters[n].asnumpy())[0, 0]) for n in names]
    np.testing.assert_allclose([moved[0] / moved[2], moved[1] / moved[2]], [0.25, 0.5], rtol=1e-4)


def test_overlapping_groups_are_refused():
    parameters = {"weight": Parameter(Tensor(np.zeros(2, np.float32)), name="weight")}
    group = ParameterGroup(("weight",), 1.0, True)
    with pytest.raises(ConfigError, match="overlap"):
        build_optimizer(parameters, [group, group], OptimizerConfig())


def test_400_parameters_compile(graph_mode):
    values = {f"p{i}.weight": np.ones((2, 2), np.float32) for i in range(400)}
    optimizer, parameters = optimizer_for(values, OptimizerConfig())
    update(optimizer, 0.1, 1, values)
    assert all((p.asnumpy() < 1).all() for p in parameters.values())
