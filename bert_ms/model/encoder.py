"""The stack of Transformer layers."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn

from bert_ms import kernels
from bert_ms.config import BertConfig
from bert_ms.kernels.ops import EncoderLayer as FusedLayer
from bert_ms.model.attention import SelfAttention, has_plain_attention
from bert_ms.model.feed_forward import FeedForward

SITES_PER_LAYER = 3  # dropouts: attention probabilities, attention output, feed-forward output


class EncoderLayer(nn.Cell):
    """One layer: self-attention, then feed-forward, each with residual connection and LayerNorm after it."""

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        self.attention = SelfAttention(config, site=site, dtype=dtype)
        self.feed_forward = FeedForward(config, site=site + 2, dtype=dtype)
        self.fused = fused_layer(config, site=site, dtype=dtype)

    def construct(
        self, hidden_BSH: Tensor, attention_mask: Tensor, dropout_key: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        if self.fused is not None and not self.attention.has_probs and attention_mask.ndim == 2:
            weights = (*self.attention.weights(), *self.feed_forward.weights())
            return self.fused(hidden_BSH, attention_mask, dropout_key, *weights), None
        hidden_BSH, probs_BNST = self.attention(hidden_BSH, attention_mask, dropout_key)
        return self.feed_forward(hidden_BSH, dropout_key), probs_BNST


def fused_layer(config: BertConfig, *, site: int, dtype: ms.dtype) -> nn.Cell | None:
    """The whole layer as one native operator, where there is one for this device, config and dtype; else None."""
    if not (kernels.enabled() and has_plain_attention(config) and dtype == ms.float32):
        return None
    return FusedLayer(
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
                EncoderLayer(config, site=first_site + SITES_PER_LAYER * i, dtype=dtype)
                for i in range(config.num_hidden_layers)
            ]
        )

    def construct(
        self, hidden_BSH: Tensor, attention_mask: Tensor, dropout_key: Tensor | None = None
    ) -> tuple[Tensor, tuple, tuple]:
        """The last hidden state [B, S, H], all L + 1 hidden states, and the L attentions (None where not asked for)."""
        hidden_states: tuple = (hidden_BSH,)
        attentions: tuple = ()
        for layer in self.layers:
            hidden_BSH, probs_BNST = layer(hidden_BSH, attention_mask, dropout_key)
            hidden_states = (*hidden_states, hidden_BSH)
            attentions = (*attentions, probs_BNST)
        return hidden_BSH, hidden_states, attentions
