"""The encoder as a whole, as `bert_ms.model.bert` has it: embeddings, layers, pooler."""

from __future__ import annotations

from dataclasses import dataclass

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.attention import additive_mask, self_attention
from bert_ms.export.onnx_graph.graph import Graph, Value
from bert_ms.export.onnx_graph.layers import activation, dense, layer_norm
from bert_ms.export.onnx_graph.sizes import size
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


def feed_forward(graph: Graph, config: BertConfig, hidden_BSH: Value, name: str) -> Value:
    """LayerNorm(hidden + Dense(act(Dense(hidden)))): [B, S, H] -> [B, S, H], through [B, S, I]."""
    inner_BSI = dense(graph, hidden_BSH, f"{name}.intermediate")
    with graph.under(name):
        active_BSI = activation(graph, inner_BSI, config.hidden_act)
    out_BSH = dense(graph, active_BSI, f"{name}.output")
    return layer_norm(graph, graph.op("Add", out_BSH, hidden_BSH), f"{name}.layer_norm", eps=config.layer_norm_eps)


def hidden_states(graph: Graph, config: BertConfig, inputs: Inputs) -> list[Value]:
    """The L + 1 hidden states [B, S, H], from the embeddings to the last layer."""
    mask = additive_mask(graph, config, inputs.attention_mask)
    states = [embeddings(graph, config, inputs)]
    for i in range(config.num_hidden_layers):
        name = f"encoder.layers.{i}"
        hidden_BSH = self_attention(graph, config, states[-1], mask, inputs.input_ids, f"{name}.attention")
        states.append(feed_forward(graph, config, hidden_BSH, f"{name}.feed_forward"))
    return states


def pooler(graph: Graph, hidden_BSH: Value) -> Value:
    """tanh(Dense(hidden state of the first token)): [B, S, H] -> [B, H]."""
    return graph.op("Tanh", dense(graph, first_token(graph, hidden_BSH), "pooler.dense"))


def first_token(graph: Graph, hidden_BSH: Value) -> Value:
    """[B, S, H] -> [B, H]."""
    return graph.op("Gather", hidden_BSH, graph.constant(0, "int64"), axis=1)
