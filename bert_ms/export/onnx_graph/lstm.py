"""A BiLSTM over the hidden states of tokens, as `bert_ms.model.heads.lstm` has it."""

from __future__ import annotations

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.graph import Graph, Value
from bert_ms.export.onnx_graph.layers import rows_at
from bert_ms.export.onnx_graph.sizes import places, size

_DIRECTIONS = ("", "_reverse")


def bilstm(graph: Graph, config: BertConfig, hidden_BSH: Value, attention_mask: Value) -> Value:
    """What both LSTMs remember at each token, [B, S, 2W]; 0 where the mask is.

    Tokens are moved to the front of their row and back to their places afterwards, so that masked positions are not
    read wherever they are. The operator is told where each row ends, and turns it for the LSTM from the right.
    """
    with graph.under("lstm"):
        is_token_BS = graph.cast(graph.cast(attention_mask, "bool"), "int64")
        length_B1 = graph.op("ReduceSum", is_token_BS, graph.integers(1), keepdims=1)
        rank_BS = _ranks(graph, is_token_BS, length_B1)
        turned_SBH = graph.op("Transpose", rows_at(graph, hidden_BSH, _order(graph, rank_BS)), perm=(1, 0, 2))
        memory_SDBW = graph.op(
            "LSTM", turned_SBH, *_weights(graph, config), _lengths(graph, length_B1),
            direction="bidirectional", hidden_size=config.lstm_width,
        )  # fmt: skip
        memory_BSDW = graph.op("Transpose", memory_SDBW, perm=(2, 0, 1, 3))
        both_BSV = graph.op("Reshape", memory_BSDW, graph.integers(0, 0, 2 * config.lstm_width))
        keep_BS1 = graph.op("Unsqueeze", graph.cast(is_token_BS, "float32"), graph.integers(2))
        return graph.op("Mul", rows_at(graph, both_BSV, rank_BS), keep_BS1)


def _ranks(graph: Graph, is_token_BS: Value, length_B1: Value) -> Value:
    """Place of each position when the row's tokens come first and keep their order, int64 [B, S]."""
    one = graph.constant(1, "int64")
    among_BS = graph.op("Sub", graph.op("CumSum", is_token_BS, one), one)
    place_S = places(graph, size(graph, is_token_BS, 1))
    behind_BS = graph.op("Sub", graph.op("Sub", graph.op("Add", length_B1, place_S), among_BS), one)
    return graph.op("Where", graph.cast(is_token_BS, "bool"), among_BS, behind_BS)


def _order(graph: Graph, rank_BS: Value) -> Value:
    """The position that has each rank, int64 [B, S]: the ranks sorted."""
    return graph.ops("TopK", rank_BS, size(graph, rank_BS, 1), outputs=2, axis=1, largest=0)[1]


def _lengths(graph: Graph, length_B1: Value) -> Value:
    """Tokens of each row, int32 [B]; 1 for a row without any, whose memory is not looked at."""
    some_B1 = graph.op("Max", length_B1, graph.constant(1, "int64"))
    return graph.cast(graph.op("Squeeze", some_B1, graph.integers(1)), "int32")


def _weights(graph: Graph, config: BertConfig) -> tuple[Value, Value, Value]:
    """Weights of the inputs [2, 4W, H], of the memory [2, 4W, W], and both biases [2, 8W]."""

    def both(kind: str) -> np.ndarray:
        return np.stack([_gates(graph.array(f"lstm.{kind}_l0{direction}")) for direction in _DIRECTIONS])

    biases = np.concatenate([both("bias_ih"), both("bias_hh")], axis=1)
    arrays = {"lstm.weight_ih": both("weight_ih"), "lstm.weight_hh": both("weight_hh"), "lstm.biases": biases}
    weight_ih, weight_hh, bias = (graph.own(name, array) for name, array in arrays.items())
    return weight_ih, weight_hh, bias


def _gates(array: np.ndarray) -> np.ndarray:
    """From the order input, forget, cell, output to ONNX's: input, output, forget, cell."""
    i, f, c, o = np.split(array, 4)
    return np.concatenate([i, o, f, c])
