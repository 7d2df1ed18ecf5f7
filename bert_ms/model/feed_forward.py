"""The second half of a layer: two dense layers with an activation between them."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from bert_ms.config import BertConfig
from bert_ms.kernels.ops import BiasActivation, BiasDropoutResidualLayerNorm
from bert_ms.model.layers import Dense, NormParameters


class FeedForward(nn.Cell):
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
        self.activate = BiasActivation(config.hidden_act)
        self.finish = BiasDropoutResidualLayerNorm(config.layer_norm_eps, config.hidden_dropout_prob, site)

    def construct(self, hidden_BSH: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        inner_BSI = self.activate(self.intermediate.project(hidden_BSH), self.intermediate.bias)
        return self.finish(
            self.output.project(inner_BSI),
            self.output.bias,
            hidden_BSH,
            self.layer_norm.weight,
            self.layer_norm.bias,
            dropout_key,
        )
