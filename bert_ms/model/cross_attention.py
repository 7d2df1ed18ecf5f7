"""A decoder layer's attention to another encoder's hidden states."""

from __future__ import annotations

import dataclasses
from functools import partial

import mindspore as ms
from mindspore import Tensor, ops

from bert_ms.config import BertConfig
from bert_ms.kernels.deferred import Deferring
from bert_ms.kernels.ops import DropoutResidualLayerNorm
from bert_ms.model.attention import ComposedAttention, fused_attention
from bert_ms.model.layers import Dense, NormParameters


class CrossAttention(Deferring):
    """LayerNorm(hidden + Dropout(Dense(attention))), with queries of the decoder, keys and values of the encoder.

    Positions play no part in it, whatever the self-attention knows of distances.

    Args:
        config: of the decoder, whose width is the encoder's too.
        site: first of the two dropout numbers used here (probabilities, output).
        dtype: of the matrix products.

    Shapes: hidden [B, S, H], encoder hidden [B, T, H] -> [B, S, H]. Source: Vaswani et al. 2017, section 3.2.3.
    """

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        H, std = config.hidden_size, config.initializer_range
        self.query = Dense(H, H, std=std, dtype=dtype)
        self.key = Dense(H, H, std=std, dtype=dtype)
        self.value = Dense(H, H, std=std, dtype=dtype)
        self.output = Dense(H, H, std=std, dtype=dtype)
        self.layer_norm = NormParameters(H)
        plain = dataclasses.replace(
            config,
            is_decoder=False,
            add_cross_attention=False,
            position_embedding_type="absolute",
            relative_position="none",
        )
        self.defer(
            composed=partial(ComposedAttention, plain, None, site=site, dtype=dtype),
            fused=partial(fused_attention, plain, site=site, dtype=dtype),
            finish=partial(DropoutResidualLayerNorm, config.layer_norm_eps, config.hidden_dropout_prob, site + 1),
        )

    def construct(
        self,
        hidden_BSH: Tensor,
        encoder_hidden_BTH: Tensor,
        encoder_mask: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        """Attend to the encoder.

        Args:
            encoder_mask: int32 [B, T], or [B, S, T] for one mask a query; 0 is not attended to. None for all.
        """
        if encoder_mask is None:
            encoder_mask = ops.ones(encoder_hidden_BTH.shape[:2], ms.int32)
        query_BSH = self.query(hidden_BSH)
        key_BTH, value_BTH = self.key(encoder_hidden_BTH), self.value(encoder_hidden_BTH)
        if self.fused is not None and encoder_mask.ndim == 2:
            context_BSH = self.fused(query_BSH, key_BTH, value_BTH, encoder_mask, dropout_key)
        else:
            context_BSH, _ = self.composed(query_BSH, key_BTH, value_BTH, encoder_mask, dropout_key)
        return self.finish(
            self.output(context_BSH), hidden_BSH, self.layer_norm.weight, self.layer_norm.bias, dropout_key
        )
