"""Multi-head self-attention with its residual connection."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms import compat
from bert_ms.config import BertConfig
from bert_ms.kernels.deferred import Deferring
from bert_ms.kernels.ops import Attention as FusedAttention
from bert_ms.kernels.ops import Dropout, DropoutResidualLayerNorm, QueryKeyValue
from bert_ms.model.layers import Dense, NormParameters
from bert_ms.model.relative_positions import relative_positions

# Added to the score of a key that must not be attended to. Source: Hugging Face BERT; the originals add -10000.
MASKED = float(np.finfo(np.float32).min)


class ComposedAttention(nn.Cell):
    """Attention written out step by step: any dtype, relative positions, causal masks, probabilities on request.

    Args:
        config: of the network.
        distances: what is known of relative positions; None for absolute positions.
        site: number of this dropout in the network.
        dtype: of the matrix products; scores and softmax are float32.
    """

    def __init__(self, config: BertConfig, distances: nn.Cell | None, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__(auto_prefix=False)
        self.heads, self.size = config.num_attention_heads, config.head_size
        self.scale = 1.0 / math.sqrt(config.head_size)
        self.distances, self.is_causal, self.dtype = distances, config.is_decoder, dtype
        self.dropout = Dropout(config.attention_probs_dropout_prob, site)
        self.by_key = ops.BatchMatMul(transpose_b=True)
        self.by_value = ops.BatchMatMul()

    def construct(
        self,
        query_BSH: Tensor,
        key_BTH: Tensor,
        value_BTH: Tensor,
        attention_mask: Tensor,
        dropout_key: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Context [B, S, H] and probabilities [B, N, S, T] before dropout.

        Args:
            attention_mask: int32 [B, T], or [B, S, T] for one mask a query; 0 is not attended to.
        """
        return self.attend(
            self.split(query_BSH),
            self.split(key_BTH),
            self.split(value_BTH),
            self.additive(attention_mask),
            dropout_key,
        )

    def attend(
        self,
        query_BNSD: Tensor,
        key_BNTD: Tensor,
        value_BNTD: Tensor,
        mask: Tensor,
        dropout_key: Tensor | None = None,
        first: Tensor | int = 0,
    ) -> tuple[Tensor, Tensor]:
        """`construct` of what is split into heads already.

        Args:
            mask: float32 [B, 1, 1 or S, T], added to the scores.
            first: position of the first query among the keys.
        """
        scores_BNST = self.by_key(query_BNSD, key_BNTD)
        if self.distances is not None:
            scores_BNST = scores_BNST + self.distances.scores(query_BNSD, key_BNTD, first)
        scores_BNST = ops.cast(scores_BNST, ms.float32) * self.scale + mask
        probs_BNST = ops.softmax(scores_BNST, -1)
        dropped_BNST = ops.cast(self.dropout(probs_BNST, dropout_key), self.dtype)
        context_BNSD = self.by_value(dropped_BNST, value_BNTD)
        if self.distances is not None and self.distances.adds_to_context:
            context_BNSD = context_BNSD + self.distances.context(dropped_BNST, first)
        B, N, S, D = context_BNSD.shape
        return ops.reshape(ops.transpose(context_BNSD, (0, 2, 1, 3)), (B, S, N * D)), probs_BNST

    def split(self, x_BSH: Tensor) -> Tensor:
        B, S, _ = x_BSH.shape
        return ops.transpose(ops.reshape(x_BSH, (B, S, self.heads, self.size)), (0, 2, 1, 3))

    def additive(self, attention_mask: Tensor) -> Tensor:
        """0 where attended to, MASKED elsewhere: float32 [B, 1, 1 or S, T]."""
        mask = ops.expand_dims(attention_mask, 1)
        if attention_mask.ndim == 2:
            mask = ops.expand_dims(mask, 1)
        keep = ops.cast(mask != 0, ms.float32)
        if self.is_causal:
            keep = keep * ops.tril(ops.ones((mask.shape[-1], mask.shape[-1]), ms.float32))
        return (1.0 - keep) * MASKED


class FlashAttention(nn.Cell):
    """MindSpore's fused attention on Ascend, for half precision without dropout and without relative positions."""

    def __init__(self, config: BertConfig, operator: Any):
        super().__init__()
        self.heads, self.scale, self.operator = config.num_attention_heads, 1.0 / math.sqrt(config.head_size), operator

    def construct(
        self,
        query_BSH: Tensor,
        key_BTH: Tensor,
        value_BTH: Tensor,
        attention_mask: Tensor,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        B, S, _ = query_BSH.shape
        drop_B1ST = ops.broadcast_to(ops.reshape(attention_mask == 0, (B, 1, 1, -1)), (B, 1, S, key_BTH.shape[1]))
        return self.operator(
            query_BSH, key_BTH, value_BTH, self.heads, attn_mask=drop_B1ST, scalar_value=self.scale, input_layout="BSH"
        )


class SelfAttention(Deferring):
    """LayerNorm(hidden + Dropout(Dense(attention(hidden)))), the first half of a layer.

    Args:
        config: of the network.
        site: first of the two dropout numbers used here (probabilities, output).
        dtype: of the matrix products.

    Shapes: hidden [B, S, H] -> [B, S, H]. Source: Vaswani et al. 2017, section 3.2.
    """

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        H, std = config.hidden_size, config.initializer_range
        self.query = Dense(H, H, std=std, dtype=dtype)
        self.key = Dense(H, H, std=std, dtype=dtype)
        self.value = Dense(H, H, std=std, dtype=dtype)
        self.dtype = dtype
        self.relative_positions = relative_positions(config, dtype=dtype)
        self.output = Dense(H, H, std=std, dtype=dtype)
        self.layer_norm = NormParameters(H)
        self.defer(
            project=QueryKeyValue,
            composed=partial(ComposedAttention, config, self.relative_positions, site=site, dtype=dtype),
            fused=partial(fused_attention, config, site=site, dtype=dtype),
            finish=partial(DropoutResidualLayerNorm, config.layer_norm_eps, config.hidden_dropout_prob, site + 1),
        )
        self.has_probs = False

    def construct(
        self, hidden_BSH: Tensor, attention_mask: Tensor, dropout_key: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        query_BSH, key_BSH, value_BSH = self.project(
            ops.cast(hidden_BSH, self.dtype), *self.query.weights(), *self.key.weights(), *self.value.weights()
        )
        probs_BNST = None
        if self.fused is not None and not self.has_probs and attention_mask.ndim == 2:
            context_BSH = self.fused(query_BSH, key_BSH, value_BSH, attention_mask, dropout_key)
        else:
            context_BSH, probs_BNST = self.composed(query_BSH, key_BSH, value_BSH, attention_mask, dropout_key)
        hidden_BSH = self.finish(
            self.output(context_BSH), hidden_BSH, self.layer_norm.weight, self.layer_norm.bias, dropout_key
        )
        return hidden_BSH, probs_BNST

    def weights(self) -> tuple[Tensor, ...]:
        """Weight and bias of query, key, value, output, LayerNorm, for a layer that is one operator."""
        dense = (*self.query.weights(), *self.key.weights(), *self.value.weights(), *self.output.weights())
        return (*dense, self.layer_norm.weight, self.layer_norm.bias)


def has_plain_attention(config: BertConfig) -> bool:
    """True if scores are products of queries and keys alone, under a padding mask alone."""
    has_distances = config.relative_position != "none" or config.position_embedding_type != "absolute"
    return not has_distances and not config.is_decoder


def fused_attention(config: BertConfig, *, site: int, dtype: ms.dtype) -> nn.Cell | None:
    """The fastest attention that this device has for the config; None where only the composed one will do."""
    if not has_plain_attention(config):
        return None
    operator = compat.flash_attention()
    if operator is not None and dtype != ms.float32 and config.attention_probs_dropout_prob == 0:
        return FlashAttention(config, operator)
    if dtype != ms.float32:
        return None
    scale = 1.0 / math.sqrt(config.head_size)
    return FusedAttention(config.num_attention_heads, config.attention_probs_dropout_prob, site, scale)
