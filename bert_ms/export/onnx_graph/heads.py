"""The heads of every task, as `bert_ms.model.heads` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.encoder import Inputs, hidden_states, pooler
from bert_ms.export.onnx_graph.graph import Graph, Port, Value
from bert_ms.export.onnx_graph.layers import activation, dense, layer_norm, rows_at
from bert_ms.export.onnx_graph.lstm import bilstm
from bert_ms.export.onnx_graph.sizes import shape, size
from bert_ms.records import INPUT_NAMES, MASKED_POSITIONS

BATCH, SEQUENCE, CHOICES, POSITIONS = "batch", "sequence", "choices", "positions"
Outputs = dict[Value, Port]


@dataclass(frozen=True)
class Form:
    """A network as a graph.

    Attributes:
        write: adds it to a graph and says what is returned.
        shape: of the three inputs.
        more: inputs after them.
    """

    write: Callable[[Graph, BertConfig], Outputs]
    shape: tuple[str, ...] = (BATCH, SEQUENCE)
    more: tuple[Port, ...] = ()

    @property
    def inputs(self) -> tuple[Port, ...]:
        """All inputs, in order."""
        return (*(Port(name, "int32", self.shape) for name in INPUT_NAMES), *self.more)


def _per_token(name: str, width: int) -> Port:
    return Port(name, "float32", (BATCH, SEQUENCE, width))


def _per_row(name: str, width: int) -> Port:
    return Port(name, "float32", (BATCH, width))


def _last(graph: Graph, config: BertConfig, inputs: Inputs | None = None) -> Value:
    return hidden_states(graph, config, inputs or Inputs())[-1]


def encoder(graph: Graph, config: BertConfig) -> Outputs:
    """last_hidden_state [B, S, H]; pooled_output [B, H] where there is a pooler."""
    hidden_BSH = _last(graph, config)
    outputs = {hidden_BSH: _per_token("last_hidden_state", config.hidden_size)}
    if config.add_pooler:
        outputs[pooler(graph, hidden_BSH)] = _per_row("pooled_output", config.hidden_size)
    return outputs


def question_answering(graph: Graph, config: BertConfig) -> Outputs:
    """start_logits, end_logits [B, S]."""
    logits_BS2 = dense(graph, _last(graph, config), "qa_outputs")
    both = [graph.op("Gather", logits_BS2, graph.constant(i, "int64"), axis=-1) for i in (0, 1)]
    ports = [Port(name, "float32", (BATCH, SEQUENCE)) for name in ("start_logits", "end_logits")]
    return dict(zip(both, ports, strict=True))


def sequence_classification(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, L]."""
    logits_BL = dense(graph, pooler(graph, _last(graph, config)), "classifier")
    return {logits_BL: _per_row("logits", config.classifier_size or 0)}


def next_sentence(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, 2]."""
    return {dense(graph, pooler(graph, _last(graph, config)), "seq_relationship"): _per_row("logits", 2)}


def multiple_choice(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, C]: every choice is read as a row of its own."""
    flat = shape(graph, graph.integers(-1), size(graph, INPUT_NAMES[0], 2))
    rows = Inputs(*(graph.op("Reshape", name, flat) for name in INPUT_NAMES))
    logits_R1 = dense(graph, pooler(graph, _last(graph, config, rows)), "classifier")
    apart = shape(graph, size(graph, INPUT_NAMES[0], 0), size(graph, INPUT_NAMES[0], 1))
    return {graph.op("Reshape", logits_R1, apart): Port("logits", "float32", (BATCH, CHOICES))}


def token_classification(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, S, L]; with a CRF its emissions, those of START and STOP last."""
    hidden_BSH = _last(graph, config)
    if config.has_lstm:
        hidden_BSH = bilstm(graph, config, hidden_BSH, Inputs().attention_mask)
    return {dense(graph, hidden_BSH, "classifier"): _per_token("logits", config.classifier_size or 0)}


def masked_lm(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, S, V]; also those of the next word, of a decoder."""
    return {predictions(graph, config, _last(graph, config)): _per_token("logits", config.vocab_size)}


def pretraining(graph: Graph, config: BertConfig) -> Outputs:
    """prediction_logits [B, S, V], seq_relationship_logits [B, 2]."""
    hidden_BSH = _last(graph, config)
    return {
        predictions(graph, config, hidden_BSH): _per_token("prediction_logits", config.vocab_size),
        dense(graph, pooler(graph, hidden_BSH), "seq_relationship"): _per_row("seq_relationship_logits", 2),
    }


def masked_positions(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, P, V] of the positions [B, P] alone; `bert_ms.model.heads.masked_positions`."""
    hidden_BSH = _last(graph, config)
    hidden_BPH = rows_at(graph, hidden_BSH, graph.cast(MASKED_POSITIONS, "int64"))
    port = Port("logits", "float32", (BATCH, POSITIONS, config.vocab_size))
    return {predictions(graph, config, hidden_BPH): port}


def predictions(graph: Graph, config: BertConfig, hidden_BSH: Value) -> Value:
    """Logits over the vocabulary, [B, S, V]: transform(hidden) table^T + bias."""
    name = "predictions.transform"
    inner_BSH = activation(graph, dense(graph, hidden_BSH, f"{name}.dense"), config.hidden_act)
    hidden_BSH = layer_norm(graph, inner_BSH, f"{name}.layer_norm", eps=config.layer_norm_eps)
    with graph.under("predictions.decoder"):
        # As rows, so that the word table serves as it lies there, and is in the file once.
        rows_RH = graph.op("Reshape", hidden_BSH, graph.integers(-1, config.hidden_size))
        tied = config.tie_word_embeddings
        table_VH = graph.weight("embeddings.word_embeddings.weight" if tied else "predictions.decoder.weight")
        logits_RV = graph.op("Gemm", rows_RH, table_VH, graph.weight("predictions.bias"), transB=1)
        sizes = [graph.op("Slice", graph.op("Shape", hidden_BSH), graph.integers(0), graph.integers(2))]
        return graph.op("Reshape", logits_RV, graph.op("Concat", *sizes, graph.integers(-1), axis=0))


_POSITIONS = Port(MASKED_POSITIONS, "int32", (BATCH, POSITIONS))

FORMS: dict[str, Form] = {
    "encoder": Form(encoder),
    "question-answering": Form(question_answering),
    "sequence-classification": Form(sequence_classification),
    "multiple-choice": Form(multiple_choice, shape=(BATCH, CHOICES, SEQUENCE)),
    "token-classification": Form(token_classification),
    "next-sentence": Form(next_sentence),
    "masked-lm": Form(masked_lm),
    "pretraining": Form(pretraining),
    "causal-lm": Form(masked_lm),
    "masked-positions": Form(masked_positions, more=(_POSITIONS,)),
}
