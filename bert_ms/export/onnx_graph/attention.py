"""Multi-head self-attention with its residual connection, as `bert_ms.model.attention` has it."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.graph import Graph, Value
from bert_ms.export.onnx_graph.layers import as_rows, dense, layer_norm
from bert_ms.export.onnx_graph.relative_positions import distances
from bert_ms.export.onnx_graph.sizes import shape, size

# Added to the score of a key that must not be attended to; `bert_ms.model.attention.MASKED`.
MASKED = float(np.finfo(np.float32).min)


class Attention(Protocol):
    """What a layer attends with; made once for all layers, so that they share a mask."""

    def __call__(self, hidden_RH: Value, name: str) -> Value:
        """The context [R, H] of the rows of all tokens [R, H], by the weights of the attention called `name`."""


def self_attention(graph: Graph, config: BertConfig, hidden_RH: Value, attend: Attention, name: str) -> Value:
    """LayerNorm(hidden + Dense(attention(hidden))): [R, H] -> [R, H].

    Args:
        graph: that is added to.
        config: of the network.
        hidden_RH: of the layer before, the rows of all tokens.
        attend: of all layers.
        name: of this attention.
    """
    out_RH = dense(graph, attend(hidden_RH, name), f"{name}.output")
    return layer_norm(graph, graph.op("Add", out_RH, hidden_RH), f"{name}.layer_norm", eps=config.layer_norm_eps)


class ComposedAttention:
    """Attention written out step by step in operators of ONNX itself: relative positions and causal masks, too.

    Args:
        graph: that is added to.
        config: of the network.
        input_ids: [B, S], for the sizes.
        attention_mask: [B, S].
    """

    def __init__(self, graph: Graph, config: BertConfig, input_ids: Value, attention_mask: Value):
        self.graph, self.config, self.ids = graph, config, input_ids
        self.mask = additive_mask(graph, config, attention_mask)

    def __call__(self, hidden_RH: Value, name: str) -> Value:
        """See `Attention`."""
        graph, config = self.graph, self.config
        query_BNSD, key_BNSD, value_BNSD = (
            split(graph, config, dense(graph, hidden_RH, f"{name}.{part}"), self.ids)
            for part in ("query", "key", "value")
        )
        with graph.under(name):
            relative = distances(graph, config, name, self.ids)
            scores_BNST = graph.op("MatMul", query_BNSD, graph.op("Transpose", key_BNSD, perm=(0, 1, 3, 2)))
            if relative is not None:
                scores_BNST = graph.op("Add", scores_BNST, relative.scores(query_BNSD, key_BNSD))
            scores_BNST = graph.op("Div", scores_BNST, graph.constant(math.sqrt(config.head_size)))
            probs_BNST = graph.op("Softmax", graph.op("Add", scores_BNST, self.mask), axis=-1)
            context_BNSD = graph.op("MatMul", probs_BNST, value_BNSD)
            if relative is not None and relative.is_nezha:
                context_BNSD = graph.op("Add", context_BNSD, relative.context(probs_BNST))
            return as_rows(graph, graph.op("Transpose", context_BNSD, perm=(0, 2, 1, 3)), config.hidden_size)


def split(graph: Graph, config: BertConfig, x_RH: Value, input_ids: Value) -> Value:
    """Heads of a projection, [B, N, S, D]."""
    sizes = (size(graph, input_ids, 0), size(graph, input_ids, 1))
    apart = shape(graph, *sizes, graph.integers(config.num_attention_heads, config.head_size))
    return graph.op("Transpose", graph.op("Reshape", x_RH, apart), perm=(0, 2, 1, 3))


def additive_mask(graph: Graph, config: BertConfig, attention_mask: Value) -> Value:
    """0 where attended to, MASKED elsewhere: float32 [B, 1, 1 or S, T]."""
    is_kept = graph.cast(attention_mask, "bool")
    keep = graph.op("Unsqueeze", graph.cast(is_kept, "float32"), graph.integers(1, 2))
    if config.is_decoder:
        length = size(graph, attention_mask, 1)
        ones = graph.op("Expand", graph.constant(1.0), shape(graph, length, length))
        keep = graph.op("Mul", keep, graph.op("Trilu", ones, upper=0))
    return graph.op("Mul", graph.op("Sub", graph.constant(1.0), keep), graph.constant(MASKED))
