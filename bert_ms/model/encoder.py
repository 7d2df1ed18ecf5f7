"""The stack of Transformer layers."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from bert_ms import kernels
from bert_ms.config import BertConfig
from bert_ms.kernels.ops import NativeEncoderLayer
from bert_ms.model.attention import SelfAttention, has_plain_attention
from bert_ms.model.cross_attention import CrossAttention
from bert_ms.model.feed_forward import FeedForward
from bert_ms.model.layers import Dense, NormParameters


def sites_per_layer(config: BertConfig) -> int:
    """Dropouts of a layer: probabilities and output of each attention, feed-forward output."""
    return 5 if config.add_cross_attention else 3


class EncoderLayer(nn.Cell):
    """One layer: self-attention, cross attention (of a decoder that has it), feed-forward.

    Each has a residual connection and LayerNorm after it.
    """

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        self.attention = SelfAttention(config, site=site, dtype=dtype)
        self.cross_attention = None
        if config.add_cross_attention:
            self.cross_attention = CrossAttention(config, site=site + 2, dtype=dtype)
        self.feed_forward = FeedForward(config, site=site + sites_per_layer(config) - 1, dtype=dtype)
        self.fused = fused_layer(config, site=site, dtype=dtype)

    def construct(
        self,
        hidden_BSH: Tensor,
        attention_mask: Tensor,
        dropout_key: Tensor | None = None,
        encoder_hidden_BTH: Tensor | None = None,
        encoder_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        if (
            self.fused is not None
            and not self.attention.has_probs
            and attention_mask.ndim == 2
            and self.fused.serves(hidden_BSH, attention_mask, dropout_key)
        ):
            weights = (*self.attention.weights(), *self.feed_forward.weights())
            return self.fused(hidden_BSH, attention_mask, dropout_key, *weights), None
        hidden_BSH, probs_BNST = self.attention(hidden_BSH, attention_mask, dropout_key)
        if self.cross_attention is not None and encoder_hidden_BTH is not None:
            hidden_BSH = self.cross_attention(hidden_BSH, encoder_hidden_BTH, encoder_mask, dropout_key)
        return self.feed_forward(hidden_BSH, dropout_key), probs_BNST

    def parts(self) -> tuple[Dense | NormParameters, ...]:
        """What has a weight and a bias, in the order that native layers take them."""
        attention, forward = self.attention, self.feed_forward
        return (
            *(attention.query, attention.key, attention.value, attention.output, attention.layer_norm),
            *(forward.intermediate, forward.output, forward.layer_norm),
        )


def fused_layer(config: BertConfig, *, site: int, dtype: ms.dtype) -> NativeEncoderLayer | None:
    """The whole layer as one native operator, where there is one for this device, config and dtype; else None."""
    if not (kernels.enabled() and has_plain_attention(config) and dtype == ms.float32):
        return None
    return NativeEncoderLayer(
        config.num_attention_heads,
        config.hidden_act,
        config.layer_norm_eps,
        dropout_p=config.hidden_dropout_prob,
        attention_dropout_p=config.attention_probs_dropout_prob,
        site=site,
    )


class Encoder(nn.Cell):
    """All layers, one after the other.

    Args:
        config: of the network.
        first_site: number of the first layer's first dropout.
        dtype: of the matrix products.
    """

    def __init__(self, config: BertConfig, *, first_site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        self.layers = nn.CellList(
            [
                EncoderLayer(config, site=first_site + sites_per_layer(config) * i, dtype=dtype)
                for i in range(config.num_hidden_layers)
            ]
        )

    def construct(
        self,
        hidden_BSH: Tensor,
        attention_mask: Tensor,
        dropout_key: Tensor | None = None,
        encoder_hidden_BTH: Tensor | None = None,
        encoder_mask: Tensor | None = None,
    ) -> tuple[Tensor, tuple, tuple]:
        """The last hidden state [B, S, H], all L + 1 hidden states, and the L attentions (None where not asked for)."""
        hidden_states: tuple = (hidden_BSH,)
        attentions: tuple = ()
        for layer in self.layers:
            hidden_BSH, probs_BNST = layer(hidden_BSH, attention_mask, dropout_key, encoder_hidden_BTH, encoder_mask)
            hidden_states = (*hidden_states, hidden_BSH)
            attentions = (*attentions, probs_BNST)
        return hidden_BSH, hidden_states, attentions
