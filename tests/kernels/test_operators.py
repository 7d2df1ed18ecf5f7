"""Every operator against float64, native and twin: values, gradients, odd shapes, padding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.kernels import reference

ms = pytest.importorskip("mindspore")

from mindspore import Tensor, nn  # noqa: E402

from bert_ms.errors import ConfigError  # noqa: E402
from bert_ms.kernels import ops  # noqa: E402
from tests.kernels.layer import EncoderLayer  # noqa: E402

KEY = Tensor(np.array([reference.SEED, reference.STEP], np.int32))
HEADS, P, SITE, EPS = 3, 0.25, 7, 1e-5
# B, S, H: nothing a multiple of a vector; one row only; more than one 32 x 32 block each way, and exactly one.
SHAPES = {"odd": (2, 5, 15), "one_row": (1, 1, 9), "blocks": (3, 45, 99), "even": (1, 32, 96), "deep": (2, 150, 270)}


class Weighed(nn.Cell):
    """sum(operator(inputs) * upstream), for its gradient."""

    def __init__(self, operator: nn.Cell, tail: tuple[Tensor, ...]):
        super().__init__()
        self.operator, self.tail = operator, tail

    def construct(self, upstream: Tensor, *inputs: Tensor) -> Tensor:
        out = self.operator(*inputs, *self.tail)
        if isinstance(out, tuple):
            out = ms.ops.concat(out, -1)
        return (out * upstream).sum()


class Ordered(nn.Cell):
    """EncoderLayer with the weights before the mask."""

    def __init__(self, layer: nn.Cell):
        super().__init__()
        self.layer = layer

    def construct(self, x: Tensor, *rest: Tensor) -> Tensor:
        return self.layer(x, rest[16], rest[17], *rest[:16])


def draw(*shapes: tuple[int, ...], seed: int = 1) -> list[np.ndarray]:
    """Inputs whose products stay near 1."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s) / (np.sqrt(s[-1]) if len(s) == 2 else 1) for s in shapes]


def padding(B: int, S: int) -> np.ndarray:
    """A full row, one with padding in the middle, and, if there are three, one with nothing but padding."""
    mask = np.ones((B, S), np.int32)
    mask[1:2, S // 2 :] = 0
    mask[2:3] = 0
    return mask


def case(name: str, B: int, S: int, H: int) -> tuple[Callable[[], nn.Cell], Any, list[np.ndarray], tuple[Tensor, ...]]:
    """How to build the operator, its reference, its float inputs, and its other arguments."""
    x, inner = (B, S, H), 2 * H + 1
    if name.startswith("activation "):
        act = name.split()[1]
        return lambda: ops.Activation(act), reference.ACTIVATIONS[act], [3 * a for a in draw(x)], ()
    if name.startswith("linear "):
        act = name.split()[1]
        return lambda: ops.Linear(act), partial(reference.linear, act), draw(x, (inner, H), (inner,)), ()
    if name == "query_key_value":
        shapes = [s for _ in range(3) for s in ((inner, H), (inner,))]
        return ops.QueryKeyValue, reference.query_key_value, draw(x, *shapes), ()
    if name.startswith("feed_forward "):
        act = name.split()[1]
        inputs = draw(x, (inner, H), (inner,), (H, inner), (H,))
        return lambda: ops.FeedForward(act), partial(reference.feed_forward, act), inputs, ()
    if name == "layer_norm":
        return lambda: ops.LayerNormOp(EPS), partial(reference.layer_norm, EPS), draw(x, (H,), (H,)), ()
    if name == "residual_layer_norm":
        return (
            lambda: ops.ResidualLayerNorm(EPS),
            lambda a, r, w, b: reference.layer_norm(EPS, a + r, w, b),
            draw(x, x, (H,), (H,)),
            (),
        )
    if name == "dropout_residual_layer_norm":
        return (
            lambda: ops.DropoutResidualLayerNorm(EPS, P, SITE),
            lambda a, r, w, b: reference.layer_norm(EPS, reference.dropout(P, SITE, a) + r, w, b),
            draw(x, x, (H,), (H,)),
            (KEY,),
        )
    if name == "dropout":
        return lambda: ops.Dropout(P, SITE), partial(reference.dropout, P, SITE), draw(x), (KEY,)
    if name.startswith("encoder_layer"):
        act, p, mask = name.split()[1], P if "with dropout" in name else 0.0, padding(B, S)
        narrow = [s for _ in range(4) for s in ((H, H), (H,))]
        shapes = [*narrow, (H,), (H,), (inner, H), (inner,), (H, inner), (H,), (H,), (H,)]
        return (
            lambda: Ordered(EncoderLayer(HEADS, act, EPS, p=p, site=SITE)),
            lambda *inputs: reference.encoder_layer(HEADS, act, EPS, p, SITE, mask, *inputs),
            draw(x, *shapes),
            (Tensor(mask), KEY),
        )
    mask = padding(B, S)
    p = P if name == "attention with dropout" else 0.0
    given = Tensor(np.where(mask, 0, -1e4).astype(np.float32)) if name == "attention, float mask" else Tensor(mask)
    return (
        lambda: ops.Attention(HEADS, p, SITE),
        lambda q, k, v: reference.attention(HEADS, p, SITE, q, k, v, mask),
        draw(x, x, x),
        (given, KEY),
    )


NAMES = [
    *(f"activation {name}" for name in reference.ACTIVATIONS if name != "identity"),
    "linear identity",
    "linear tanh",
    "query_key_value",
    "feed_forward gelu",
    "layer_norm",
    "residual_layer_norm",
    "dropout_residual_layer_norm",
    "dropout",
    "attention",
    "attention with dropout",
    "encoder_layer gelu",
    "encoder_layer gelu_tanh with dropout",
]


def check(name: str, shape: str, *, training: bool = True) -> None:
    build, function, inputs, tail = case(name, *SHAPES[shape])
    operator = build().set_train(training)
    inputs = [x.astype(np.float32).astype(np.float64) for x in inputs]
    expected = function(*inputs)
    upstream = np.random.default_rng(2).normal(size=expected.shape).astype(np.float32)
    if name.startswith(("attention", "encoder_layer")):
        upstream[2:] = 0  # scores beside the minimum vanish: differences cannot see the gradient of nothing but padding
    tensors = [Tensor(x.astype(np.float32)) for x in inputs]

    out = operator(*tensors, *tail)
    got = np.concatenate([part.asnumpy() for part in out], -1) if isinstance(out, tuple) else out.asnumpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)

    gradients = ms.grad(Weighed(operator, tail), tuple(range(1, len(tensors) + 1)))(Tensor(upstream), *tensors)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for gradient, (slope, direction) in zip(gradients, reference.slopes(function, inputs, upstream, 3), strict=True):
        found, size = (gradient.asnumpy().astype(float) * direction).sum(), np.linalg.norm(gradient.asnumpy())
        assert found == pytest.approx(slope, abs=1e-5 * (1 + size))


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_those_of_float64(name: str, kernels: str, any_mode: str) -> None:
    check(name, "odd")


@pytest.mark.parametrize("shape", ["one_row", "blocks", "even"])
@pytest.mark.parametrize(
    "name",
    [
        "linear gelu",
        "query_key_value",
        "feed_forward mish",
        "dropout_residual_layer_norm",
        "attention with dropout",
        "encoder_layer silu with dropout",
    ],
)
def test_every_shape_gives_the_values_and_gradients_of_float64(
    name: str, shape: str, native: None, graph_mode: None
) -> None:
    check(name, shape)


@pytest.mark.parametrize("name", ["linear gelu", "query_key_value", "feed_forward gelu", "attention with dropout"])
def test_sums_over_several_stretches_of_depth_are_those_of_float64(name: str, native: None, graph_mode: None) -> None:
    check(name, "deep")


@pytest.mark.parametrize("name", ["feed_forward gelu", "attention", "encoder_layer gelu"])
def test_evaluation_has_gradients_too(name: str, native: None, graph_mode: None) -> None:
    check(name, "odd", training=False)


def test_a_float_mask_is_added_to_the_scores(kernels: str, graph_mode: None) -> None:
    B, S, H = 2, 5, 15
    build, function, inputs, tail = case("attention, float mask", B, S, H)
    got = build()(*(Tensor(x.astype(np.float32)) for x in inputs), *tail).asnumpy()
    np.testing.assert_allclose(got, function(*inputs), rtol=1e-5, atol=1e-5)


def test_a_row_of_nothing_but_padding_attends_to_all_keys_equally(kernels: str, graph_mode: None) -> None:
    q, k, v = (Tensor(x.astype(np.float32)) for x in draw((1, 6, 12), (1, 6, 12), (1, 6, 12)))
    got = ops.Attention(3)(q, k, v, Tensor(np.zeros((1, 6), np.int32))).asnumpy()
    np.testing.assert_allclose(got, np.broadcast_to(v.asnumpy().mean(1, keepdims=True), got.shape), atol=1e-6)


def test_keys_may_be_more_than_queries(kernels: str, graph_mode: None) -> None:
    q, k, v = draw((2, 3, 12), (2, 40, 12), (2, 40, 12))
    mask = padding(2, 40)
    got = ops.Attention(3)(*(Tensor(x.astype(np.float32)) for x in (q, k, v)), Tensor(mask)).asnumpy()
    np.testing.assert_allclose(got, reference.attention(3, 0.0, 0, q, k, v, mask), rtol=1e-5, atol=1e-5)


def test_dropout_does_nothing_in_evaluation(kernels: str, graph_mode: None) -> None:
    x = Tensor(draw((2, 3, 4))[0].astype(np.float32))
    np.testing.assert_array_equal(ops.Dropout(0.5, 0).set_train(False)(x, KEY).asnumpy(), x.asnumpy())


def test_dropout_without_a_key_draws_from_mindspore(kernels: str, graph_mode: None) -> None:
    x = Tensor(np.ones((50, 50), np.float32))
    got = ops.Dropout(0.5, 0).set_train(True)(x).asnumpy()
    assert set(np.unique(got)) == {0.0, 2.0}


def test_half_precision_goes_through_the_twin(kernels: str, graph_mode: None) -> None:
    x, w, b = (Tensor(a.astype(np.float16)) for a in draw((2, 3, 8), (8, 8), (8,)))
    out = ops.Linear()(x, w, b)
    assert out.dtype == ms.float16
    np.testing.assert_allclose(out.asnumpy(), x.asnumpy() @ w.asnumpy().T + b.asnumpy(), atol=2e-2)


def test_an_unknown_activation_names_the_nearest(kernels: str) -> None:
    with pytest.raises(ConfigError, match="unknown activation 'gelo': did you mean 'gelu'"):
        ops.Activation("gelo")
