"""The heads of every task, as `bert_ms.model.heads` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.encoder import Inputs, encoder, pooler, tokens
from bert_ms.export.onnx_graph.graph import Graph, Port, Value
from bert_ms.export.onnx_graph.layers import activation, as_rows, dense, layer_norm
from bert_ms.export.onnx_graph.lstm import bilstm
from bert_ms.export.onnx_graph.sizes import shape, size
from bert_ms.records import INPUT_NAMES

BATCH, SEQUENCE, CHOICES = "batch", "sequence", "choices"
Outputs = dict[Value, Port]


@dataclass(frozen=True)
class Form:
    """A network as a graph.

    Attributes:
        write: adds it to a graph and says what is returned.
        shape: of the three inputs.
    """

    write: Callable[[Graph, BertConfig], Outputs]
    shape: tuple[str, ...] = (BATCH, SEQUENCE)

    @property
    def inputs(self) -> tuple[Port, ...]:
        """All inputs, in order."""
        return tuple(Port(name, "int32", self.shape) for name in INPUT_NAMES)


def _per_token(name: str, width: int) -> Port:
    return Port(name, "float32", (BATCH, SEQUENCE, width))


def _per_row(name: str, width: int) -> Port:
    return Port(name, "float32", (BATCH, width))


def bare(graph: Graph, config: BertConfig) -> Outputs:
    """last_hidden_state [B, S, H]; pooled_output [B, H] where there is a pooler."""
    hidden_RH = encoder(graph, config, Inputs())
    hidden_BSH = tokens(graph, hidden_RH, Inputs(), config.hidden_size)
    outputs = {hidden_BSH: _per_token("last_hidden_state", config.hidden_size)}
    if config.add_pooler:
        outputs[pooler(graph, config, hidden_RH, Inputs())] = _per_row("pooled_output", config.hidden_size)
    return outputs


def question_answering(graph: Graph, config: BertConfig) -> Outputs:
    """start_logits, end_logits [B, S]."""
    logits_R2 = dense(graph, encoder(graph, config, Inputs()), "qa_outputs")
    columns = [graph.op("Gather", logits_R2, graph.constant(i, "int64"), axis=1) for i in (0, 1)]
    names = ("start_logits", "end_logits")
    return {
        tokens(graph, column, Inputs()): Port(name, "float32", (BATCH, SEQUENCE))
        for column, name in zip(columns, names, strict=True)
    }


def _pooled(graph: Graph, config: BertConfig, inputs: Inputs | None = None) -> Value:
    inputs = inputs or Inputs()
    return pooler(graph, config, encoder(graph, config, inputs), inputs)


def sequence_classification(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, L]."""
    return {dense(graph, _pooled(graph, config), "classifier"): _per_row("logits", config.classifier_size or 0)}


def next_sentence(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, 2]."""
    return {dense(graph, _pooled(graph, config), "seq_relationship"): _per_row("logits", 2)}


def multiple_choice(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, C]: every choice is read as a row of its own."""
    flat = shape(graph, graph.integers(-1), size(graph, INPUT_NAMES[0], 2))
    rows = Inputs(*(graph.op("Reshape", name, flat) for name in INPUT_NAMES))
    logits_R1 = dense(graph, _pooled(graph, config, rows), "classifier")
    apart = shape(graph, size(graph, INPUT_NAMES[0], 0), size(graph, INPUT_NAMES[0], 1))
    return {graph.op("Reshape", logits_R1, apart): Port("logits", "float32", (BATCH, CHOICES))}


def token_classification(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, S, L]; with a CRF its emissions, those of START and STOP last."""
    hidden_RH, inputs, labels = encoder(graph, config, Inputs()), Inputs(), config.classifier_size or 0
    if config.has_lstm:
        hidden_BSH = tokens(graph, hidden_RH, inputs, config.hidden_size)
        hidden_RH = as_rows(graph, bilstm(graph, config, hidden_BSH, inputs.attention_mask), 2 * config.lstm_width)
    logits_RL = dense(graph, hidden_RH, "classifier")
    return {tokens(graph, logits_RL, inputs, labels): _per_token("logits", labels)}


def masked_lm(graph: Graph, config: BertConfig) -> Outputs:
    """logits [B, S, V]; also those of the next word, of a decoder."""
    logits_RV = predictions(graph, config, encoder(graph, config, Inputs()))
    return {tokens(graph, logits_RV, Inputs(), config.vocab_size): _per_token("logits", config.vocab_size)}


def pretraining(graph: Graph, config: BertConfig) -> Outputs:
    """prediction_logits [B, S, V], seq_relationship_logits [B, 2]."""
    hidden_RH = encoder(graph, config, Inputs())
    logits_BSV = tokens(graph, predictions(graph, config, hidden_RH), Inputs(), config.vocab_size)
    pooled_BH = pooler(graph, config, hidden_RH, Inputs())
    return {
        logits_BSV: _per_token("prediction_logits", config.vocab_size),
        dense(graph, pooled_BH, "seq_relationship"): _per_row("seq_relationship_logits", 2),
    }


def predictions(graph: Graph, config: BertConfig, hidden_RH: Value) -> Value:
    """Logits over the vocabulary, [R, V]: transform(hidden) table^T + bias."""
    name = "predictions.transform"
    inner_RH = activation(graph, dense(graph, hidden_RH, f"{name}.dense"), config.hidden_act)
    hidden_RH = layer_norm(graph, inner_RH, f"{name}.layer_norm", eps=config.layer_norm_eps)
    table = "embeddings.word_embeddings.weight" if config.tie_word_embeddings else None
    return dense(graph, hidden_RH, "predictions.decoder", table=table, bias="predictions.bias")


FORMS: dict[str, Form] = {
    "encoder": Form(bare),
    "question-answering": Form(question_answering),
    "sequence-classification": Form(sequence_classification),
    "multiple-choice": Form(multiple_choice, shape=(BATCH, CHOICES, SEQUENCE)),
    "token-classification": Form(token_classification),
    "next-sentence": Form(next_sentence),
    "masked-lm": Form(masked_lm),
    "pretraining": Form(pretraining),
    "causal-lm": Form(masked_lm),
}
