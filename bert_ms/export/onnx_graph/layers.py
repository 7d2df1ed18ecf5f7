"""The layers that everything is made of, as `bert_ms.model.layers` has them: dense, LayerNorm, activations."""

from __future__ import annotations

import math
from collections.abc import Callable

from bert_ms.export.onnx_graph.graph import Graph, Value


def dense(graph: Graph, x: Value, name: str, *, table: str | None = None, bias: str | None = None) -> Value:
    """y = x W^T + b of the layer called `name`: x [R, in] -> [R, out].

    Args:
        graph: that is added to.
        x: rows.
        name: of the layer.
        table: name of the weight [out, in] where it is not `name` + ".weight".
        bias: name of the bias [out] where it is not `name` + ".bias".
    """
    weight, bias = graph.weight(table or f"{name}.weight"), graph.weight(bias or f"{name}.bias")
    with graph.under(name):
        return graph.op("Gemm", x, weight, bias, transB=1)


def as_rows(graph: Graph, x_BSH: Value, width: int) -> Value:
    """The vectors of all tokens one after the other, [B, S, H] -> [R, H], R = B * S."""
    return graph.op("Reshape", x_BSH, graph.integers(-1, width))


def layer_norm(graph: Graph, x: Value, name: str, *, eps: float) -> Value:
    """LayerNorm over the last axis with the weight and bias called `name`."""
    with graph.under(name):
        weight, bias = graph.weight(f"{name}.weight"), graph.weight(f"{name}.bias")
        return graph.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=eps)


def rows_at(graph: Graph, x_BSH: Value, places_BP: Value) -> Value:
    """Of each row of a batch the vectors at its own places, int64 [B, P]: [B, S, H] -> [B, P, H]."""
    return graph.op("GatherND", x_BSH, graph.op("Unsqueeze", places_BP, graph.integers(2)), batch_dims=1)


def activation(graph: Graph, x: Value, name: str) -> Value:
    """One of `bert_ms.config.ACTIVATIONS`, number by number."""
    return _ACTIVATIONS[name](graph, x)


def _gelu(graph: Graph, x: Value) -> Value:
    """x / 2 * (1 + erf(x / sqrt(2))), in the order that ONNX Runtime makes one operator of."""
    erf = graph.op("Erf", graph.op("Div", x, graph.constant(math.sqrt(2.0))))
    return graph.op("Mul", graph.op("Mul", x, graph.op("Add", erf, graph.constant(1.0))), graph.constant(0.5))


def _gelu_tanh(graph: Graph, x: Value) -> Value:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    cube = graph.op("Mul", graph.op("Mul", graph.op("Mul", x, x), x), graph.constant(0.044715))
    inner = graph.op("Mul", graph.op("Add", x, cube), graph.constant(math.sqrt(2.0 / math.pi)))
    gate = graph.op("Add", graph.op("Tanh", inner), graph.constant(1.0))
    return graph.op("Mul", graph.op("Mul", x, gate), graph.constant(0.5))


def _fast_gelu(graph: Graph, x: Value) -> Value:
    """x * sigmoid(1.702 x)."""
    return graph.op("Mul", x, graph.op("Sigmoid", graph.op("Mul", x, graph.constant(1.702))))


def _silu(graph: Graph, x: Value) -> Value:
    return graph.op("Mul", x, graph.op("Sigmoid", x))


def _mish(graph: Graph, x: Value) -> Value:
    return graph.op("Mul", x, graph.op("Tanh", graph.op("Softplus", x)))


def _single(kind: str) -> Callable[[Graph, Value], Value]:
    return lambda graph, x: graph.op(kind, x)


_ACTIVATIONS: dict[str, Callable[[Graph, Value], Value]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "fast_gelu": _fast_gelu,
    "relu": _single("Relu"),
    "silu": _silu,
    "tanh": _single("Tanh"),
    "sigmoid": _single("Sigmoid"),
    "mish": _mish,
}
