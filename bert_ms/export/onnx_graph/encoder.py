"""The encoder as a whole, as `bert_ms.model.bert` has it: embeddings, layers, pooler."""

from __future__ import annotations

from dataclasses import dataclass

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.attention import Attention, ComposedAttention, self_attention
from bert_ms.export.onnx_graph.fused_attention import FusedAttention, is_covered
from bert_ms.export.onnx_graph.graph import Graph, Value
from bert_ms.export.onnx_graph.layers import activation, as_rows, dense, layer_norm
from bert_ms.export.onnx_graph.sizes import shape, size
from bert_ms.records import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS


@dataclass(frozen=True)
class Inputs:
    """The three inputs of a network, each int32 [B, S]."""

    input_ids: Value = INPUT_IDS
    attention_mask: Value = ATTENTION_MASK
    token_type_ids: Value = TOKEN_TYPE_IDS


def embeddings(graph: Graph, config: BertConfig, inputs: Inputs) -> Value:
    """LayerNorm(word + token type + position), [B, S, H]."""
    with graph.under("embeddings"):
        words = graph.op("Gather", graph.weight("embeddings.word_embeddings.weight"), inputs.input_ids)
        types = graph.op("Gather", graph.weight("embeddings.token_type_embeddings.weight"), inputs.token_type_ids)
        hidden_BSH = graph.op("Add", words, types)
        if config.has_absolute_positions:
            table_PH = graph.weight("embeddings.position_embeddings.weight")
            zero, length = graph.integers(0), size(graph, inputs.input_ids, 1)
            hidden_BSH = graph.op("Add", hidden_BSH, graph.op("Slice", table_PH, zero, length, zero))
    return layer_norm(graph, hidden_BSH, "embeddings.layer_norm", eps=config.layer_norm_eps)


def feed_forward(graph: Graph, config: BertConfig, hidden_RH: Value, name: str) -> Value:
    """LayerNorm(hidden + Dense(act(Dense(hidden)))): [R, H] -> [R, H], through [R, I]."""
    inner_RI = dense(graph, hidden_RH, f"{name}.intermediate")
    with graph.under(name):
        active_RI = activation(graph, inner_RI, config.hidden_act)
    out_RH = dense(graph, active_RI, f"{name}.output")
    return layer_norm(graph, graph.op("Add", out_RH, hidden_RH), f"{name}.layer_norm", eps=config.layer_norm_eps)


def encoder(graph: Graph, config: BertConfig, inputs: Inputs) -> Value:
    """The last hidden states of all tokens, one after the other, [R, H].

    Products of such rows are one operator with their bias, which products of [B, S, H] are not.
    """
    attend = attention(graph, config, inputs)
    hidden_RH = as_rows(graph, embeddings(graph, config, inputs), config.hidden_size)
    for i in range(config.num_hidden_layers):
        name = f"encoder.layers.{i}"
        hidden_RH = self_attention(graph, config, hidden_RH, attend, f"{name}.attention")
        hidden_RH = feed_forward(graph, config, hidden_RH, f"{name}.feed_forward")
    return hidden_RH


def attention(graph: Graph, config: BertConfig, inputs: Inputs) -> Attention:
    """As one operator of ONNX Runtime, where the graph may have such and it does what the network asks for."""
    fused = graph.for_runtime and is_covered(config)
    return (FusedAttention if fused else ComposedAttention)(graph, config, inputs.input_ids, inputs.attention_mask)


def tokens(graph: Graph, x_RW: Value, inputs: Inputs, *widths: int) -> Value:
    """Rows as [B, S, W] again, or as [B, S] where no width is given."""
    sizes = [size(graph, inputs.input_ids, axis) for axis in (0, 1)]
    return graph.op("Reshape", x_RW, shape(graph, *sizes, *(graph.integers(width) for width in widths)))


def pooler(graph: Graph, config: BertConfig, hidden_RH: Value, inputs: Inputs) -> Value:
    """tanh(Dense(hidden state of the first token)): [R, H] -> [B, H]."""
    hidden_BSH = tokens(graph, hidden_RH, inputs, config.hidden_size)
    first_BH = graph.op("Gather", hidden_BSH, graph.constant(0, "int64"), axis=1)
    return graph.op("Tanh", dense(graph, first_BH, "pooler.dense"))
