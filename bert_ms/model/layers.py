"""The two parametrised layers that everything is made of: Dense with LayerNorm, in mixed precision."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import One, TruncatedNormal, Zero, initializer

from bert_ms.kernels.deferred import Deferring
from bert_ms.kernels.ops import Linear

DTYPES = {"float32": ms.float32, "float16": ms.float16, "bfloat16": ms.bfloat16}


def normal_parameter(*shape: int, std: float) -> Parameter:
    """A float32 Parameter from the truncated normal that BERT starts from.

    Args:
        shape: of the parameter.
        std: standard deviation; values beyond two of them are drawn again.

    Source: Devlin et al. 2019, `create_initializer` of the published code.
    """
    # MindSpore's bounds are values, not deviations: its defaults, -2 and 2, would cut nothing off.
    return Parameter(initializer(TruncatedNormal(std, 0.0, -2 * std, 2 * std), list(shape), ms.float32))


class Dense(Deferring):
    """y = x W^T + b, computed in `dtype` from float32 parameters.

    Args:
        in_size: width of the input.
        out_size: width of the output.
        std: standard deviation of the initial weight; the bias starts from 0.
        dtype: of the computation and of the output.

    Attributes:
        adapter: what is computed with in place of the weight, (weight) -> weight; None for the weight itself. See
            `bert_ms.model.lora`.

    Shapes: x [..., in_size] -> [..., out_size]; weight [out_size, in_size]; bias [out_size].
    """

    def __init__(self, in_size: int, out_size: int, *, std: float, dtype: ms.dtype = ms.float32):
        super().__init__()
        self.in_size, self.out_size, self.dtype = in_size, out_size, dtype
        self.weight = normal_parameter(out_size, in_size, std=std)
        self.bias = Parameter(initializer(Zero(), [out_size], ms.float32))
        self.defer(linear=Linear)
        self.adapter: nn.Cell | None = None

    def construct(self, x: Tensor) -> Tensor:
        return self.linear(ops.cast(x, self.dtype), *self.weights())

    def weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias in the dtype of the computation, for callers that fuse this layer with others."""
        weight = self.weight if self.adapter is None else self.adapter(self.weight)
        return ops.cast(weight, self.dtype), ops.cast(self.bias, self.dtype)


class NormParameters(nn.Cell):
    """Weight and bias [H] of a LayerNorm; the operator itself is fused with what stands before it."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.weight = Parameter(initializer(One(), [hidden_size], ms.float32))
        self.bias = Parameter(initializer(Zero(), [hidden_size], ms.float32))
