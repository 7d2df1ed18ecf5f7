"""The operators in plain MindSpore: every device, every dtype, gradients by MindSpore's own differentiation.

They define what the native operators must return. LayerNorm and softmax are computed in float32 whatever the input is.
"""

from __future__ import annotations

import math

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError, unknown
from bert_ms.kernels.derived_mask import KeepMask

FLOAT32_MINIMUM = float(np.finfo(np.float32).min)


class Gelu(nn.Cell):
    """x * Phi(x) with the exact error function. Source: Hendrycks and Gimpel 2016, section 2."""

    def construct(self, x: Tensor) -> Tensor:
        return x * 0.5 * (1.0 + ops.erf(x * (1.0 / math.sqrt(2.0))))


class GeluTanh(nn.Cell):
    """The tanh approximation of GELU. Source: Hendrycks and Gimpel 2016, section 2."""

    def construct(self, x: Tensor) -> Tensor:
        # (1 + tanh(u)) / 2 = sigmoid(2 u), and MindSpore's CPU tanh is only good to 1e-4, its sigmoid to 1e-6.
        return x * ops.sigmoid(math.sqrt(8.0 / math.pi) * (x + 0.044715 * x * x * x))


class FastGelu(nn.Cell):
    """x * sigmoid(1.702 x). Source: Hendrycks and Gimpel 2016, section 2."""

    def construct(self, x: Tensor) -> Tensor:
        return x * ops.sigmoid(1.702 * x)


class Silu(nn.Cell):
    """x * sigmoid(x)."""

    def construct(self, x: Tensor) -> Tensor:
        return x * ops.sigmoid(x)


class Mish(nn.Cell):
    """x * tanh(log(1 + exp(x))), as a quotient of exp(-|x|) that neither overflows nor cancels. Source: Misra 2019."""

    def construct(self, x: Tensor) -> Tensor:
        small = ops.exp(-ops.abs(x))
        square = small * small
        above = (1.0 + 2.0 * small) / (1.0 + 2.0 * small + 2.0 * square)
        below = (square + 2.0 * small) / (square + 2.0 * small + 2.0)
        return x * ops.select(x > 0, above, below)


class Tanh(nn.Cell):
    """tanh(x) by way of the sigmoid: MindSpore's own tanh on CPU is only good to 1e-4."""

    def construct(self, x: Tensor) -> Tensor:
        return 2.0 * ops.sigmoid(2.0 * x) - 1.0


class Identity(nn.Cell):
    """x."""

    def construct(self, x: Tensor) -> Tensor:
        return x


ACTIVATIONS = {
    "gelu": Gelu,
    "gelu_tanh": GeluTanh,
    "fast_gelu": FastGelu,
    "relu": nn.ReLU,
    "silu": Silu,
    "tanh": Tanh,
    "sigmoid": nn.Sigmoid,
    "mish": Mish,
    "identity": Identity,
}


def activation(name: str) -> nn.Cell:
    """The activation called `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]()


class Linear(nn.Cell):
    """activation(x weight^T + bias)."""

    def __init__(self, name: str = "identity"):
        super().__init__(auto_prefix=False)
        self.matmul = ops.MatMul(transpose_b=True)
        self.activation = activation(name)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        width = x.shape[-1]
        y = ops.bias_add(self.matmul(x.reshape((-1, width)), weight), bias)
        return self.activation(y).reshape((*x.shape[:-1], weight.shape[0]))


class QueryKeyValue(nn.Cell):
    """Three projections of one input."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.linear = Linear()

    def construct(
        self, x: Tensor, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor, bv: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.linear(x, wq, bq), self.linear(x, wk, bk), self.linear(x, wv, bv)


class FeedForward(nn.Cell):
    """Two dense layers with an activation between them."""

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.widen, self.narrow = Linear(name), Linear()

    def construct(self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return self.narrow(self.widen(x, w1, b1), w2, b2)


class LayerNorm(nn.Cell):
    """LayerNorm over the last axis, in float32."""

    def __init__(self, eps: float):
        super().__init__(auto_prefix=False)
        self.norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=eps)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y, _, _ = self.norm(x.astype(ms.float32), weight.astype(ms.float32), bias.astype(ms.float32))
        return y.astype(x.dtype)


class Dropout(nn.Cell):
    """Dropout with a mask derived from the key, or from MindSpore's own generator when the key is None."""

    def __init__(self, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.p = p
        self.mask = KeepMask(p, site)
        self.own = nn.Dropout(p=p)

    def construct(self, x: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        if dropout_key is None:
            return self.own(x)
        keep = self.mask(dropout_key, x.size).reshape(x.shape)
        return ops.select(keep, x * (1.0 / (1.0 - self.p)), ops.zeros_like(x))


class Attention(nn.Cell):
    """Scaled dot-product attention over heads that lie side by side in the last axis."""

    def __init__(self, num_heads: int, dropout_p: float, site: int, scale: float | None):
        super().__init__(auto_prefix=False)
        self.num_heads, self.scale = num_heads, scale
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()
        self.dropout = Dropout(dropout_p, site)

    def construct(
        self, query_BSH: Tensor, key_BTH: Tensor, value_BTH: Tensor, mask_BT: Tensor, dropout_key: Tensor | None = None
    ) -> Tensor:
        query_BNSD, key_BNTD, value_BNTD = self.split(query_BSH), self.split(key_BTH), self.split(value_BTH)
        scale = self.scale
        if scale is None:
            scale = query_BNSD.shape[-1] ** -0.5
        scores_BNST = self.scores(query_BNSD, key_BNTD).astype(ms.float32) * scale
        if mask_BT.dtype == ms.int32:
            mask_BT = (mask_BT == 0).astype(ms.float32) * FLOAT32_MINIMUM
        scores_BNST = scores_BNST + mask_BT.expand_dims(1).expand_dims(1)
        probs_BNST = self.dropout(ops.softmax(scores_BNST, -1), dropout_key).astype(query_BSH.dtype)
        context_BNSD = self.mix(probs_BNST, value_BNTD)
        return context_BNSD.transpose(0, 2, 1, 3).reshape(query_BSH.shape)

    def split(self, x_BSH: Tensor) -> Tensor:
        """[B, S, H] -> [B, N, S, D]."""
        batch, length, width = x_BSH.shape
        return x_BSH.reshape((batch, length, self.num_heads, width // self.num_heads)).transpose(0, 2, 1, 3)
