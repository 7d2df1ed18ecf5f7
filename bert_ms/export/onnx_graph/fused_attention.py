"""Multi-head self-attention as one operator of ONNX Runtime, `com.microsoft.MultiHeadAttention`.

On a CPU, its fast way of computing (flash attention: no table of all scores, [B, N, S, T]) takes no mask. So each head
has one more number, by which masked keys are such that the softmax gives them nothing by itself:

    query  [ q_0 ... q_D-1    u      ]
    key    [ k_0 ... k_D-1    0      ]      attended to: the score is what it was
           [ r_0 ... r_D-1  -depth/u ]      masked: r is the key of the row's first token that is attended to

A masked key's score is r's less the depth; and since r is in the softmax too, a masked key gets at most exp(-depth) of
what the others get: nothing in float32, whatever the numbers are. A huge negative number instead would do as well, but
costs much time: exponentials that far down are denormal numbers, which processors are slow with. A row without any
token attends to all of its keys alike, as `attention` has it, since they are then all the same.
"""

from __future__ import annotations

import math

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.graph import RUNTIME, Graph, Port, Value
from bert_ms.export.onnx_graph.layers import as_rows, dense
from bert_ms.export.onnx_graph.sizes import shape, size

# How far a masked key's score is below r's, both divided by sqrt(D). exp(-32) is 1e-14. Exponentials are normal numbers
# down to exp(-87): it is fast as long as r's score is no more than 55 below the row's largest, and right in any case.
DEPTH = 32.0
# u above. Static INT8 files round a bias to the step of the layer's input, which this is large against.
UNIT = 256.0


def is_covered(config: BertConfig) -> bool:
    """Whether the operator does what the network asks for: no relative positions, and no causal mask."""
    is_absolute = config.relative_position == "none" and config.position_embedding_type == "absolute"
    return is_absolute and not config.is_decoder


class FusedAttention:
    """Attention of one operator; see `bert_ms.export.onnx_graph.attention.Attention`.

    Args:
        graph: that is added to; it is for ONNX Runtime.
        config: of the network, which `is_covered`.
        input_ids: [B, S], for the sizes.
        attention_mask: [B, S].
    """

    def __init__(self, graph: Graph, config: BertConfig, input_ids: Value, attention_mask: Value):
        self.graph, self.config = graph, config
        self.sizes = [size(graph, input_ids, axis) for axis in (0, 1)]
        self.masked_M1, self.instead_M = masked_rows(graph, attention_mask)

    def __call__(self, hidden_RH: Value, name: str) -> Value:
        """See `bert_ms.export.onnx_graph.attention.Attention`."""
        graph, config = self.graph, self.config
        heads, width = config.num_attention_heads, config.head_size
        query_RW = self.wide(hidden_RH, f"{name}.query", last=UNIT)
        key_RW = self.wide(hidden_RH, f"{name}.key", last=0)
        value_RH = dense(graph, hidden_RH, f"{name}.value")
        with graph.under(name):
            context_BSH = graph.op(
                "MultiHeadAttention",
                self.tokens(query_RW, heads * (width + 1)),
                self.tokens(self.without_masked(key_RW), heads * (width + 1)),
                self.tokens(value_RH, heads * width),
                domain=RUNTIME, num_heads=heads, scale=1 / math.sqrt(width),
            )  # fmt: skip
            graph.told.append(Port(context_BSH, "float32", ("rows", "tokens", config.hidden_size)))
            return as_rows(graph, context_BSH, config.hidden_size)

    def wide(self, hidden_RH: Value, name: str, *, last: float) -> Value:
        """A projection with one more number at the end of each head, the same for every token: [R, N * (D + 1)]."""
        graph, heads = self.graph, self.config.num_attention_heads
        weight, bias = (graph.array(f"{name}.{part}") for part in ("weight", "bias"))
        table = graph.own(f"{name}.weight.wide", _with_last(weight, heads, 0))
        wide_bias = graph.own(f"{name}.bias.wide", _with_last(bias, heads, last))
        return dense(graph, hidden_RH, name, table=table, bias=wide_bias)

    def without_masked(self, key_RW: Value) -> Value:
        """Keys, of which the masked ones are far below the first that is attended to."""
        graph, heads, width = self.graph, self.config.num_attention_heads, self.config.head_size
        zeros = np.zeros(heads * width, np.float32)
        lower = graph.constant(_with_last(zeros, heads, -DEPTH * math.sqrt(width) / UNIT))
        instead_MW = graph.op("Add", graph.op("Gather", key_RW, self.instead_M, axis=0), lower)
        return graph.op("ScatterND", key_RW, self.masked_M1, instead_MW)

    def tokens(self, x_RW: Value, width: int) -> Value:
        """Rows as [B, S, W] again."""
        return self.graph.op("Reshape", x_RW, shape(self.graph, *self.sizes, self.graph.integers(width)))


def masked_rows(graph: Graph, attention_mask: Value) -> tuple[Value, Value]:
    """Which rows of all tokens one after the other are masked, and which row stands in for each.

    Returns:
        int64 [M, 1] and [M]; the second are the first attended tokens of the same texts, or first tokens where none is.
    """
    length = size(graph, attention_mask, 1)
    is_kept_BS = graph.cast(attention_mask, "bool")
    is_masked_R = graph.op("Reshape", graph.op("Not", is_kept_BS), graph.integers(-1))
    masked_M1 = graph.op("Transpose", graph.op("NonZero", is_masked_R), perm=(1, 0))
    first_B = graph.op("ArgMax", graph.cast(is_kept_BS, "int32"), axis=1, keepdims=0)
    text_M = graph.op("Div", graph.op("Squeeze", masked_M1, graph.integers(1)), length)
    return masked_M1, graph.op("Add", graph.op("Mul", text_M, length), graph.op("Gather", first_B, text_M))


def _with_last(array: np.ndarray, heads: int, last: float) -> np.ndarray:
    """One more number, or row of numbers, after each head's: [N * D, ...] -> [N * (D + 1), ...]."""
    apart = array.reshape(heads, -1, *array.shape[1:])
    more = np.full((heads, 1, *array.shape[1:]), last, array.dtype)
    return np.concatenate([apart, more], axis=1).reshape(-1, *array.shape[1:])
