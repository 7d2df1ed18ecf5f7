"""An encoder's evaluation as native Cells: what stands before the layers, all of them, and what stands after them.

A graph of them has as many nodes for one layer as for twenty-four, and takes inputs of any shape.
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.kernels.native import (
    NO_DROPOUT,
    NO_KEY,
    constants,
    kept_shapes,
    layer_backward,
    layer_constants,
    operator,
)

LAYER_WEIGHTS = 16


class Embeddings(nn.Cell):
    """LayerNorm(word + token type + position).

    Args:
        eps: of the LayerNorm.
        has_positions: there are position embeddings.
        padding_id: the row of the word table without gradient, None for none.
    """

    def __init__(self, eps: float, has_positions: bool, padding_id: int | None):
        super().__init__(auto_prefix=False)
        self.has_positions, self.padding_id = has_positions, -1 if padding_id is None else padding_id
        self.meta = constants(float(eps), int(has_positions))
        self.forward = operator("bert_embeddings")
        self.norm_meta, self.key = constants(*NO_DROPOUT, float(eps), 0), Tensor(NO_KEY)
        self.backward = operator("bert_layer_norm_backward", lambda x, r, w, k, m, d: (x, w, w), 3)

    def construct(self, input_ids: Tensor, token_type_ids: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        return self.forward(input_ids, token_type_ids, *weights, self.meta)

    def bprop(
        self, input_ids: Tensor, token_type_ids: Tensor, weights: tuple[Tensor, ...], out: Tensor, dout: Tensor
    ) -> tuple:
        words, types, positions, weight, _ = weights
        length, width = input_ids.shape[1], words.shape[1]
        total_BSH = ops.gather(words, input_ids, 0) + ops.gather(types, token_type_ids, 0)
        if self.has_positions:
            total_BSH = total_BSH + positions[:length]
        dtotal_BSH, dweight, dbias = self.backward(total_BSH, total_BSH, weight, self.key, self.norm_meta, dout)
        rows = ops.reshape(dtotal_BSH, (-1, width))
        segments = ops.reshape(input_ids, (-1,))
        segments = ops.select(segments == self.padding_id, -ops.ones_like(segments), segments)
        dwords = ops.unsorted_segment_sum(rows, segments, words.shape[0])
        dtypes = ops.unsorted_segment_sum(rows, ops.reshape(token_type_ids, (-1,)), types.shape[0])
        dpositions = ops.zeros_like(positions)
        if self.has_positions:
            dpositions = ops.concat((dtotal_BSH.sum(0), dpositions[length:]))
        zeros = ops.zeros_like(input_ids), ops.zeros_like(token_type_ids)
        return (*zeros, (dwords, dtypes, dpositions, dweight, dbias))


class Layers(nn.Cell):
    """All layers as one operator; the gradient runs them once more, one by one."""

    def __init__(self, num_heads: int, name: str, eps: float, scale: float | None = None):
        super().__init__(auto_prefix=False)
        self.meta, self.key = layer_constants(num_heads, name, eps, scale, [NO_DROPOUT] * 3, True), Tensor(NO_KEY)
        self.forward = operator("bert_layers")
        self.kept, self.backward = operator("bert_layer_kept", kept_shapes, 9), layer_backward()

    def construct(self, x: Tensor, mask: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        return self.forward(x, mask, self.key, self.meta, *weights)

    def bprop(
        self, x: Tensor, mask: Tensor, weights: tuple[Tensor, ...], out: Tensor, dout: Tensor
    ) -> tuple:
        kept: tuple = ()
        for i in range(len(weights) // LAYER_WEIGHTS):
            one = self.kept(x, mask, self.key, self.meta, *weights[LAYER_WEIGHTS * i : LAYER_WEIGHTS * (i + 1)])
            kept = (*kept, (x, *one[1:]))
            x = one[0]
        gradients: tuple = ()
        for i in range(len(weights) // LAYER_WEIGHTS - 1, -1, -1):
            mine = weights[LAYER_WEIGHTS * i : LAYER_WEIGHTS * (i + 1)]
            found = self.backward(kept[i][0], mask, self.key, self.meta, *mine, *kept[i][1:], dout)
            dout, gradients = found[0], (*found[1:], *gradients)
        return dout, ops.zeros_like(mask), gradients


class Encoder(nn.Cell):
    """Embeddings and all layers in evaluation, as two operators, for inputs that it `serves`.

    MindSpore's graph of it is as small, and as quickly compiled, for twenty-four layers as for one, and takes inputs of
    any shape. To be made only where native operators are enabled; `bert_ms.model` has the plain form.

    Args:
        num_heads: heads N of the attention.
        name: an activation of `Activation`.
        eps: of every LayerNorm.
        has_positions: position embeddings are added.
        padding_id: the row of the word table that never learns, None for none.
        scale: factor of the scores; None is 1 / sqrt(D).
    """

    def __init__(
        self,
        num_heads: int,
        name: str,
        eps: float,
        *,
        has_positions: bool,
        padding_id: int | None = None,
        scale: float | None = None,
    ):
        super().__init__(auto_prefix=False)
        self.embeddings = Embeddings(eps, has_positions, padding_id)
        self.layers = Layers(num_heads, name, eps, scale)

    def serves(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> bool:
        """Whether the native form computes the encoder for these inputs."""
        if self.training or attention_mask.ndim != 2 or attention_mask.dtype != ms.int32:
            return False
        return input_ids.dtype == ms.int32 and token_type_ids.dtype == ms.int32

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        embeddings: tuple[Tensor, ...],
        layers: tuple[Tensor, ...],
    ) -> Tensor:
        """Run the encoder. A row with an id that its table has no place for is NaN.

        Args:
            input_ids: int32 [B, S].
            attention_mask: int32 [B, S], 1 for keys to look at and 0 for padding.
            token_type_ids: int32 [B, S].
            embeddings: tables of words [V, H], of token types [U, H] and of positions [P, H] (any, if there are none),
                weight and bias [H] of the LayerNorm.
            layers: sixteen for each layer, as `ops.NativeEncoderLayer` has them.

        Returns:
            [B, S, H].
        """
        hidden_BSH = self.embeddings(input_ids, token_type_ids, embeddings)
        return self.layers(hidden_BSH, attention_mask, layers)


class FirstToken(nn.Cell):
    """x[:, 0]."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = operator("bert_first_token")
        self.backward = operator("bert_first_token_backward", lambda x, d: x)

    def construct(self, x: Tensor) -> Tensor:
        return self.forward(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (self.backward(x, dout),)


class TokensAt(nn.Cell):
    """x[b, positions[b]]."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.forward = operator("bert_tokens_at")

    def construct(self, x: Tensor, positions: Tensor) -> Tensor:
        return self.forward(x, positions)

    def bprop(self, x: Tensor, positions: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        B, S, H = x.shape
        rows = positions + ops.reshape(ops.arange(0, B * S, S, dtype=ms.int32), (B, 1))
        dx = ops.unsorted_segment_sum(ops.reshape(dout, (-1, H)), ops.reshape(rows, (-1,)), B * S)
        return ops.reshape(dx, (B, S, H)), ops.zeros_like(positions)


# The numbers of `enum Pooling` in src/embeddings.cpp.
POOLINGS = {name: number for number, name in enumerate(("cls", "mean", "max"))}


class Pool(nn.Cell):
    """One vector for a row from those of its tokens; the gradient is the twin's.

    Args:
        pooling: one of POOLINGS.
        normalize: divide by the Euclidean norm.
        twin: the same of other operators, (x [B, S, H], mask int32 [B, S]) -> [B, H].
    """

    def __init__(self, pooling: str, normalize: bool, twin: nn.Cell):
        super().__init__(auto_prefix=False)
        self.meta = constants(POOLINGS[pooling], int(normalize))
        self.forward = operator("bert_pool")
        self.twin, self.gradient = twin, ops.GradOperation(get_all=True, sens_param=True)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.forward(x, mask, self.meta)

    def bprop(self, x: Tensor, mask: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return self.gradient(self.twin)(x, mask, dout)[0], ops.zeros_like(mask)
