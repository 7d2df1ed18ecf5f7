"""The native operators as Cells with their gradients: float32, CPU. `bert_ms.kernels.ops` decides where to use them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms.kernels.derived_mask import threshold
from bert_ms.kernels.switch import library

# The numbers of `enum Act` in src/activation.h.
ACTIVATIONS = {
    name: number
    for number, name in enumerate(
        ("identity", "gelu", "gelu_tanh", "fast_gelu", "relu", "silu", "tanh", "sigmoid", "mish")
    )
}


def operator(name: str, shapes: Callable[..., Any] | None = None, count: int = 1) -> ops.Custom:
    """The exported function `name` as a MindSpore operator, whose outputs are all float32.

    MindSpore remembers the number of outputs by name, so no function has two. Cells share their operators.

    Args:
        name: of the function.
        shapes: gives the output shapes; None for an operator of src/shapes.cpp, which takes inputs whose shapes are not
            known when the graph is compiled.
        count: of outputs.
    """
    path = f"{library()}:{name}"
    if path not in _OPERATORS:
        dtypes = ms.float32 if count == 1 else (ms.float32,) * count
        made = ops.Custom(path, out_shape=shapes, out_dtype=lambda *_: dtypes, func_type="aot")
        if shapes is None:  # MindSpore looks for this name when it asks the library, and sets it for others only
            made.add_prim_attr("reg_op_name", name)
        _OPERATORS[path] = made
    return _OPERATORS[path]


_OPERATORS: dict[str, ops.Custom] = {}


def constants(*values: int | float) -> Tensor:
    """int32 [K] that carries integers as they are and floats by their bits."""
    words = [struct.unpack("i", struct.pack("f", v))[0] if isinstance(v, float) else v for v in values]
    return Tensor(np.asarray(words, np.int32))


def dropout_constants(p: float, site: int) -> tuple[int, int, float]:
    """Site, threshold and scale, as src/mask.h reads them."""
    return site, threshold(p), 1.0 / (1.0 - p)


NO_DROPOUT = (0, 0, 1.0)
NO_KEY = np.zeros(2, np.int32)


class Activation(nn.Cell):
    """act(x)."""

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.meta = constants(ACTIVATIONS[name])
        self.forward = operator("bert_activation")
        self.backward = operator("bert_activation_backward", lambda x, m, d: x)

    def construct(self, x: Tensor) -> Tensor:
        return self.forward(x, self.meta)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (self.backward(x, self.meta, dout),)


class Linear(nn.Cell):
    """act(x weight^T + bias)."""

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.meta = constants(ACTIVATIONS[name])
        self.forward = operator("bert_linear")
        self.backward = operator("bert_linear_backward", lambda x, w, b, m, d: (x, w, b), 3)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.forward(x, weight, bias, self.meta)

    def bprop(
        self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.backward(x, weight, bias, self.meta, dout)


class QueryKeyValue(nn.Cell):
    """Three dense layers of one input."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = operator("bert_qkv", lambda x, wq, bq, wk, bk, wv, bv: ([*x[:-1], wq[0]],) * 3, 3)
        self.backward = operator(
            "bert_qkv_backward",
            lambda x, wq, wk, wv, dq, dk, dv: (x, wq, [wq[0]], wk, [wk[0]], wv, [wv[0]]),
            7,
        )

    def construct(
        self, x: Tensor, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor, bv: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.forward(x, wq, bq, wk, bk, wv, bv)

    def bprop(
        self, x: Tensor, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor, bv: Tensor, out: Any, dout: Any
    ) -> tuple[Tensor, ...]:
        return self.backward(x, wq, wk, wv, dout[0], dout[1], dout[2])


class FeedForward(nn.Cell):
    """Two dense layers; gives also what goes into the activation, which the gradient needs."""

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.meta = constants(ACTIVATIONS[name])
        self.forward = operator(
            "bert_feed_forward_kept", lambda x, w1, b1, w2, b2, m: ([*x[:-1], w2[0]], [*x[:-1], w1[0]]), 2
        )
        self.backward = feed_forward_backward()

    def construct(self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
        return self.forward(x, w1, b1, w2, b2, self.meta)

    def bprop(
        self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, out: Any, dout: Any
    ) -> tuple[Tensor, ...]:
        return self.backward(x, w1, w2, self.meta, out[1], dout[0])


class LeanFeedForward(nn.Cell):
    """Two dense layers; the gradient computes what goes into the activation once more."""

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.meta, self.plain = constants(ACTIVATIONS[name]), constants(ACTIVATIONS["identity"])
        self.forward = operator("bert_feed_forward", lambda x, w1, b1, w2, b2, m: [*x[:-1], w2[0]])
        self.again = operator("bert_linear")
        self.backward = feed_forward_backward()

    def construct(self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return self.forward(x, w1, b1, w2, b2, self.meta)

    def bprop(
        self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        return self.backward(x, w1, w2, self.meta, self.again(x, w1, b1, self.plain), dout)


def feed_forward_backward() -> ops.Custom:
    """Gradients to x, w1, b1, w2, b2."""
    return operator("bert_feed_forward_backward", lambda x, w1, w2, m, u, d: (x, w1, [w1[0]], w2, [w2[0]]), 5)


class LayerNorm(nn.Cell):
    """LayerNorm(x), or LayerNorm(x + residual)."""

    def __init__(self, eps: float, has_residual: bool):
        super().__init__(auto_prefix=False)
        self.has_residual = has_residual
        self.meta, self.key = constants(*NO_DROPOUT, float(eps), int(has_residual)), Tensor(NO_KEY)
        self.forward = operator("bert_layer_norm")
        self.backward = operator("bert_layer_norm_backward", lambda x, r, w, k, m, d: (x, w, w), 3)

    def construct(self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.forward(x, residual, weight, bias, self.key, self.meta)

    def bprop(
        self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        dz, dweight, dbias = self.backward(x, residual, weight, self.key, self.meta, dout)
        if self.has_residual:
            return dz, dz, dweight, dbias
        return dz, ops.zeros_like(residual), dweight, dbias


class DropoutResidualLayerNorm(nn.Cell):
    """LayerNorm(dropout(x) + residual)."""

    def __init__(self, eps: float, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.meta = constants(*dropout_constants(p, site), float(eps), 1)
        self.forward = operator("bert_layer_norm")
        self.backward = operator("bert_dropout_layer_norm_backward", lambda x, r, w, k, m, d: (x, w, w, x), 4)

    def construct(self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, key: Tensor) -> Tensor:
        return self.forward(x, residual, weight, bias, key, self.meta)

    def bprop(
        self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, key: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        dz, dweight, dbias, dx = self.backward(x, residual, weight, key, self.meta, dout)
        return dx, dz, dweight, dbias, ops.zeros_like(key)


class Dropout(nn.Cell):
    """dropout(x)."""

    def __init__(self, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.meta = constants(*dropout_constants(p, site))
        self.drop = operator("bert_dropout", lambda x, k, m: x)

    def construct(self, x: Tensor, key: Tensor) -> Tensor:
        return self.drop(x, key, self.meta)

    def bprop(self, x: Tensor, key: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return self.drop(dout, key, self.meta), ops.zeros_like(key)


class Attention(nn.Cell):
    """Scaled dot-product attention; probabilities are computed again for the gradient."""

    def __init__(self, num_heads: int, dropout: tuple[int, int, float], scale: float | None, has_int_mask: bool):
        super().__init__(auto_prefix=False)
        self.meta = constants(*dropout, num_heads, float(scale or 0), int(has_int_mask))
        self.forward = operator("bert_attention", lambda q, k, v, mask, key, m: q)
        self.backward = operator("bert_attention_backward", lambda q, k, v, mask, key, m, o, d: (q, k, v), 3)

    def construct(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout_key: Tensor) -> Tensor:
        return self.forward(query, key, value, mask, dropout_key, self.meta)

    def bprop(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor,
        dropout_key: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple[Tensor, ...]:
        dq, dk, dv = self.backward(query, key, value, mask, dropout_key, self.meta, out, dout)
        return dq, dk, dv, ops.zeros_like(mask), ops.zeros_like(dropout_key)


class CrfLoss(nn.Cell):
    """Negative log-likelihood of labelled paths; gives also its gradients, of the transitions for each row."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = operator("bert_crf_loss", lambda x, t, y: (x[:1], x, [x[0], *t]), 3)

    def construct(self, logits: Tensor, transitions: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.forward(logits, transitions, labels)

    def bprop(self, logits: Tensor, transitions: Tensor, labels: Tensor, out: Any, dout: Any) -> tuple[Tensor, ...]:
        dloss = ops.reshape(dout[0], (-1, 1, 1))
        return dloss * out[1], (dloss * out[2]).sum(0), ops.zeros_like(labels)


class EncoderLayer(nn.Cell):
    """A whole layer; gives also what the gradient needs."""

    def __init__(self, meta: Tensor):
        super().__init__(auto_prefix=False)
        self.meta = meta
        self.forward, self.backward = operator("bert_layer_kept", kept_shapes, 9), layer_backward()

    def construct(self, x: Tensor, mask: Tensor, key: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.forward(x, mask, key, self.meta, *weights)

    def bprop(
        self, x: Tensor, mask: Tensor, key: Tensor, weights: tuple[Tensor, ...], out: Any, dout: Any
    ) -> tuple[Any, ...]:
        gradients = self.backward(x, mask, key, self.meta, *weights, *out[1:], dout[0])
        return gradients[0], ops.zeros_like(mask), ops.zeros_like(key), gradients[1:]


class LeanEncoderLayer(nn.Cell):
    """A whole layer; the gradient runs it once more."""

    def __init__(self, meta: Tensor):
        super().__init__(auto_prefix=False)
        self.meta = meta
        self.forward = operator("bert_layer", lambda x, *_: x)
        self.again, self.backward = operator("bert_layer_kept", kept_shapes, 9), layer_backward()

    def construct(self, x: Tensor, mask: Tensor, key: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        return self.forward(x, mask, key, self.meta, *weights)

    def bprop(
        self, x: Tensor, mask: Tensor, key: Tensor, weights: tuple[Tensor, ...], out: Any, dout: Any
    ) -> tuple[Any, ...]:
        kept = self.again(x, mask, key, self.meta, *weights)
        gradients = self.backward(x, mask, key, self.meta, *weights, *kept[1:], dout)
        return gradients[0], ops.zeros_like(mask), ops.zeros_like(key), gradients[1:]


def layer_constants(
    num_heads: int,
    name: str,
    eps: float,
    scale: float | None,
    dropouts: Sequence[tuple[int, int, float]],
    has_int_mask: bool,
    frozen: int = 0,
) -> Tensor:
    """What src/layer.cpp calls meta.

    Args:
        dropouts: those of probabilities, attention output, feed-forward output.
        frozen: bit k is 1 if the gradient of weight k is not computed but 0.
    """
    flat = [value for dropout in dropouts for value in dropout]
    return constants(num_heads, ACTIVATIONS[name], int(has_int_mask), float(eps), float(scale or 0), *flat, frozen)


def layer_backward() -> ops.Custom:
    """Gradients to x and to the sixteen weights."""
    return operator("bert_layer_backward", lambda x, mask, key, meta, *rest: (x, *rest[:16]), 17)


def kept_shapes(x: list[int], mask: Any, key: Any, meta: Any, *weights: list[int]) -> tuple[list[int], ...]:
    """Of what `bert_layer_kept` gives: y, q, k, v, context, out1, hidden, u, out2."""
    return (*(x,) * 7, [*x[:-1], weights[10][0]], x)


def global_norm() -> ops.Custom:
    """Operator (gradients..) -> float32 [1]: the root of the sum of all squares."""
    return operator("bert_global_norm", lambda *shapes: [1])


def adamw() -> ops.Custom:
    """Operator (factor, eps, rate, decay, betas, parameters.., gradients.., m.., v..) -> float32 [1], in place."""
    return operator("bert_adamw", lambda *shapes: [1])
