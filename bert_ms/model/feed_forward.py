"""The second half of a layer: two dense layers with an activation between them."""

from __future__ import annotations

from functools import partial

import mindspore as ms
from mindspore import Tensor, ops

from bert_ms.config import BertConfig
from bert_ms.kernels.deferred import Deferring
from bert_ms.kernels.ops import DropoutResidualLayerNorm
from bert_ms.kernels.ops import FeedForward as FusedFeedForward
from bert_ms.model.layers import Dense, NormParameters


class FeedForward(Deferring):
    """LayerNorm(hidden + Dropout(Dense(act(Dense(hidden))))).

    Args:
        config: of the network.
        site: number of this dropout in the network.
        dtype: of the matrix products.

    Shapes: hidden [B, S, H] -> [B, S, H], through [B, S, I]. Source: Vaswani et al. 2017, section 3.3.
    """

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        H, inner, std = config.hidden_size, config.intermediate_size, config.initializer_range
        self.intermediate = Dense(H, inner, std=std, dtype=dtype)
        self.output = Dense(inner, H, std=std, dtype=dtype)
        self.layer_norm = NormParameters(H)
        self.dtype = dtype
        self.defer(
            through=partial(FusedFeedForward, config.hidden_act),
            finish=partial(DropoutResidualLayerNorm, config.layer_norm_eps, config.hidden_dropout_prob, site),
        )

    def construct(self, hidden_BSH: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        out_BSH = self.through(ops.cast(hidden_BSH, self.dtype), *self.intermediate.weights(), *self.output.weights())
        return self.finish(out_BSH, hidden_BSH, self.layer_norm.weight, self.layer_norm.bias, dropout_key)

    def weights(self) -> tuple[Tensor, ...]:
        """Weight and bias of both dense layers and the LayerNorm, for a layer that is one operator."""
        dense = (*self.intermediate.weights(), *self.output.weights())
        return (*dense, self.layer_norm.weight, self.layer_norm.bias)
