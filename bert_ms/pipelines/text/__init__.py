"""Text in, answers out: `pipeline(task, source)` for every task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from bert_ms.errors import ConfigError, unknown
from bert_ms.pipelines.text.kinds import ALIASES, PIPELINES, Kind

if TYPE_CHECKING:
    from bert_ms.pipelines.text.base import TextPipeline

__all__ = ["ALIASES", "OPTIONS", "PIPELINES", "Kind", "of_network", "pipeline"]

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
    backend: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> TextPipeline:
    """A network with its tokenizer, ready to answer.

    The process is set to graph mode on the device, as an entry point does, unless ONNX Runtime runs the network.

    Args:
        task: sequence-classification, token-classification, question-answering, multiple-choice, next-sentence,
            fill-mask, text-generation, feature-extraction or zero-shot-classification; our task names and Hugging
            Face's stand for the same.
        source: a directory, a file, a catalogue name, or an exported folder.
        device: auto, cpu, gpu or ascend.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16; or "int8", for encoders with absolute
            positions on a CPU: weights of the layers are rounded as they are loaded. `bert-ms evaluate ...
            precision.dtype=int8` says what that changes on data of your own.
        config: the configuration, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say.
        allow_new_head: answer though the weights have no head for the task, which is then random (for tests).
        backend: auto, cell, onnx or mindir; see `open_backend`.
        threads: CPU threads of one operator; None leaves the choice to what runs the network.
        options: batch_size, max_length, long_inputs, stride; see `TextPipeline`.

    Returns:
        A callable: one input gives one answer, a list gives a list.

    Raises:
        ConfigError: the task or an option is unknown, or the network cannot be computed in the dtype.
        CheckpointError: the weights cannot be read, or have no head for the task.
        TokenizerError: there is no vocabulary, or it is another model's.
        DeviceError: the device is not there, or cannot compute in the dtype.

    Example:
        nlp = bert_ms.pipeline("question-answering", "runs/squad_sample")
        nlp({"question": "Who wrote it?", "context": "It was written by Ada."})
    """
    from bert_ms.pipelines.opening import open_backend

    problems = [unknown("option", option, OPTIONS) for option in options if option not in OPTIONS]
    if problems:
        raise ConfigError(problems)
    opened = open_backend(
        task,
        source,
        backend=backend,
        device=device,
        dtype=dtype,
        threads=threads,
        config=config,
        vocab=vocab,
        do_lower_case=do_lower_case,
        allow_new_head=allow_new_head,
    )
    return opened.pipeline(**options)


def of_network(name: str, network: Any, tokenizer: Any, **options: Any) -> TextPipeline:
    """The pipeline `name` on a network that is there already.

    Args:
        name: of PIPELINES.
        network: a Cell with `config`, in evaluation mode.
        tokenizer: of the network.
        options: see `TextPipeline`.
    """
    from bert_ms.pipelines.opening import on_cell

    return on_cell(name, network, tokenizer).pipeline(**options)
