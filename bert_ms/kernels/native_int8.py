"""All layers of an encoder with products of 8-bit integers, in evaluation on a CPU; see src/int8.cpp."""

from __future__ import annotations

from mindspore import Tensor, nn

from bert_ms.kernels.native import ACTIVATIONS, constants, operator


class Int8Layers(nn.Cell):
    """Every layer as one operator, of inputs of any shape.

    Args:
        num_heads: heads N of the attention.
        name: an activation of `ops.Activation`.
        wide: numbers I inside of a feed-forward block.
        eps: of every LayerNorm.
        scale: factor of the scores; None is 1 / sqrt(D).
    """

    def __init__(self, num_heads: int, name: str, wide: int, eps: float, scale: float | None = None):
        super().__init__(auto_prefix=False)
        self.meta = constants(num_heads, ACTIVATIONS[name], wide, float(eps), float(scale or 0.0))
        self.forward = operator("bert_int8_layers")

    def construct(self, x: Tensor, mask: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """Run all layers.

        Args:
            x: float32 [B, S, H].
            mask: int32 [B, S], 1 for keys to look at and 0 for padding.
            weights: three of each layer, see `int8_weights.layer_arrays`.

        Returns:
            float32 [B, S, H].
        """
        return self.forward(x, mask, self.meta, *weights)

    def bprop(self, x: Tensor, mask: Tensor, weights: tuple[Tensor, ...], out: Tensor, dout: Tensor) -> tuple:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError("a network of dtype int8 has no gradients: differentiate the same weights in float32.")
