"""Text in, answers out: `pipeline(task, source)` for every task."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bert_ms.errors import CheckpointError, ConfigError, unknown

if TYPE_CHECKING:
    from bert_ms.pipelines.text.base import TextPipeline


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a pipeline is made.

    Attributes:
        task: whose network it runs.
        make: name "module:attribute" of the pipeline's class.
        cell: name of what makes the Cell to run from the network; None runs the network itself.
        summary: one line for people.
    """

    task: str
    make: str
    cell: str | None = None
    summary: str


_HERE = "bert_ms.pipelines.text"
PIPELINES: dict[str, Kind] = {
    "sequence-classification": Kind(
        task="sequence-classification",
        make=f"{_HERE}.classification:TextClassification",
        summary="labels of texts or pairs with their probabilities",
    ),
    "token-classification": Kind(
        task="token-classification",
        make=f"{_HERE}.token_classification:TokenClassification",
        summary="entities in texts",
    ),
    "question-answering": Kind(
        task="question-answering",
        make=f"{_HERE}.question_answering:QuestionAnswering",
        summary="answers to questions on passages",
    ),
    "multiple-choice": Kind(
        task="multiple-choice",
        make=f"{_HERE}.classification:MultipleChoice",
        summary="the choice that fits a context best",
    ),
    "next-sentence": Kind(
        task="next-sentence",
        make=f"{_HERE}.classification:NextSentence",
        summary="whether the second text follows the first",
    ),
    "fill-mask": Kind(
        task="masked-lm",
        make=f"{_HERE}.fill_mask:FillMask",
        cell="bert_ms.model.heads.masked_positions:MaskedPositionsLogits",
        summary="words for [MASK]",
    ),
    "text-generation": Kind(
        task="causal-lm",
        make=f"{_HERE}.generation:TextGeneration",
        summary="texts that go on",
    ),
    "feature-extraction": Kind(
        task="encoder",
        make=f"{_HERE}.features:FeatureExtraction",
        summary="hidden states of texts",
    ),
    "zero-shot-classification": Kind(
        task="sequence-classification",
        make=f"{_HERE}.zero_shot:ZeroShotClassification",
        summary="labels that nobody trained for, by a network that knows inference",
    ),
}
# Our task names, and what Hugging Face calls the same.
ALIASES = {
    "encoder": "feature-extraction",
    "masked-lm": "fill-mask",
    "pretraining": "fill-mask",
    "causal-lm": "text-generation",
    "text-classification": "sequence-classification",
    "sentiment-analysis": "sequence-classification",
    "ner": "token-classification",
}


OPTIONS = ("batch_size", "max_length", "long_inputs", "stride")


def pipeline(
    task: str,
    source: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str | None = None,
    config: Any = None,
    vocab: str | os.PathLike[str] | None = None,
    do_lower_case: bool | None = None,
    allow_new_head: bool = False,
    **options: Any,
) -> TextPipeline:
    """A network with its tokenizer, ready to answer.

    The process is set to graph mode on the device, as an entry point does.

    Args:
        task: sequence-classification, token-classification, question-answering, multiple-choice, next-sentence,
            fill-mask, text-generation, feature-extraction or zero-shot-classification; our task names and Hugging
            Face's stand for the same.
        source: a directory, a file, or a catalogue name.
        device: auto, cpu, gpu or ascend.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16.
        config: the configuration, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say.
        allow_new_head: answer though the weights have no head for the task, which is then random (for tests).
        options: batch_size, max_length, long_inputs, stride; see `TextPipeline`.

    Returns:
        A callable: one input gives one answer, a list gives a list.

    Raises:
        ConfigError: the task or an option is unknown.
        CheckpointError: the weights cannot be read, or have no head for the task.
        TokenizerError: there is no vocabulary, or it is another model's.

    Example:
        nlp = bert_ms.pipeline("question-answering", "runs/squad_sample")
        nlp({"question": "Who wrote it?", "context": "It was written by Ada."})
    """
    from bert_ms import checkpoint, compat
    from bert_ms.hub import catalogue
    from bert_ms.hub.load import from_checkpoint
    from bert_ms.tokenization import Tokenizer

    name = ALIASES.get(task, task)
    if name not in PIPELINES:
        raise ConfigError(unknown("pipeline", task, {*PIPELINES, *ALIASES}))
    problems = [unknown("option", option, OPTIONS) for option in options if option not in OPTIONS]
    if problems:
        raise ConfigError(problems)
    kind = PIPELINES[name]
    path = catalogue.resolve(source)
    opened = checkpoint.open_checkpoint(path, config=config)
    tokenizer = Tokenizer.from_pretrained(path, vocab=vocab, do_lower_case=do_lower_case)
    compat.use_device(device, graph_mode=True)
    network = from_checkpoint(opened, kind.task, dtype=dtype)
    if network.load_report.initialised and not allow_new_head:
        raise CheckpointError(
            f"{source} was trained for '{opened.task}' and has no head for '{kind.task}' "
            f"({', '.join(network.load_report.initialised)} would be random): train it first (bert-ms train), or "
            f"choose weights that were."
        )
    return of_network(name, network, tokenizer, **options)


def of_network(name: str, network: Any, tokenizer: Any, **options: Any) -> TextPipeline:
    """The pipeline `name` on a network that is there already.

    Args:
        name: of PIPELINES.
        network: a Cell with `config`, in evaluation mode.
        tokenizer: of the network.
        options: see `TextPipeline`.
    """
    from bert_ms import tasks
    from bert_ms.model.heads.causal_cache import CausalSteps
    from bert_ms.pipelines.backends import CellBackend
    from bert_ms.pipelines.text.classification import ChoiceRows

    kind, task, config = PIPELINES[name], tasks.get(PIPELINES[name].task), network.config
    if kind.cell is not None:
        return _import(kind.make)(
            CellBackend(_import(kind.cell)(network), outputs=("logits",), row_outputs=("logits",)),
            tokenizer,
            config,
            **options,
        )
    if name == "text-generation":
        return _import(kind.make)(CausalSteps(network), tokenizer, config, **options)
    backend: Any = CellBackend(network, outputs=task.outputs, row_outputs=task.row_outputs)
    if name == "multiple-choice":
        backend = ChoiceRows(backend)
    if name == "token-classification" and config.has_crf:
        options["transitions"] = network.crf.transitions.asnumpy()
    return _import(kind.make)(backend, tokenizer, config, **options)


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
