"""Opening what a pipeline runs on: the Cell of a checkpoint, or an exported network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bert_ms import tasks
from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines.exported import CELL, Exported, find_exported
from bert_ms.pipelines.text.kinds import PIPELINES, load, named
from bert_ms.pipelines.word_logits import PickedPositions
from bert_ms.tokenization import Tokenizer

if TYPE_CHECKING:
    from bert_ms.pipelines.text.base import TextPipeline


@dataclass(frozen=True, kw_only=True)
class OpenedPipeline:
    """All that a pipeline is made of.

    Attributes:
        name: of the pipeline, see `text.kinds.PIPELINES`.
        backend: runs rows as the pipeline wants them; of text-generation, the network's steps instead.
        tokenizer: of the network.
        config: of the network.
        options: arguments that the pipeline's class takes for this network, where the user gives no other.
        format: what runs the network: cell, onnx or mindir.
        precision: of its numbers.
    """

    name: str
    backend: Any
    tokenizer: Tokenizer
    config: BertConfig
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = CELL
    precision: str = "float32"

    def pipeline(self, **options: Any) -> TextPipeline:
        """The pipeline itself; see `TextPipeline` for what it takes."""
        made: TextPipeline = load(PIPELINES[self.name].make)(
            self.backend, self.tokenizer, self.config, **{**self.options, **options}
        )
        return made


def open_backend(
    name: str,
    source: str | os.PathLike[str],
    *,
    backend: str = "auto",
    device: str = "auto",
    dtype: str | None = None,
    threads: int | None = None,
    config: Any = None,
    vocab: str | os.PathLike[str] | None = None,
    do_lower_case: bool | None = None,
    allow_new_head: bool = False,
) -> OpenedPipeline:
    """What the pipeline `name` runs on, from a source of any kind.

    Args:
        name: of a pipeline; our task names and Hugging Face's stand for the same.
        source: a directory, a file, a catalogue name, or an exported folder.
        backend: "auto" takes the format of an exported folder, and the Cell for all else; cell, onnx or mindir insist.
        device: auto, cpu, gpu or ascend; for a Cell or MINDIR the process is set to graph mode on it.
        dtype: numbers that a Cell computes in: float32 (None), float16, bfloat16, or int8 (on a CPU).
        threads: CPU threads of one operator; None leaves the choice to what runs the network.
        config: the configuration, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say.
        allow_new_head: answer though the weights have no head for the task, which is then random (for tests).

    Raises:
        ConfigError: the pipeline or backend is unknown, the source is of another kind than the backend, or its network
            cannot be computed in the dtype.
        CheckpointError: the weights cannot be read, or have no head for the task.
        TokenizerError: there is no vocabulary, or it is another model's.
        DeviceError: the device is not there, or cannot compute in the dtype.
    """
    from bert_ms import checkpoint
    from bert_ms.hub import catalogue
    from bert_ms.hub.load import from_trained

    name = named(name)
    path = catalogue.resolve(source)
    exported = find_exported(path, shown=source, backend=backend, config=config, dtype=dtype)
    opened = None if exported is not None else checkpoint.open_checkpoint(path, config=config)
    tokenizer = Tokenizer.from_pretrained(path, vocab=vocab, do_lower_case=do_lower_case)
    if opened is None:
        assert exported is not None
        return on_exported(name, exported, tokenizer, device=device, threads=threads)
    prepare_device(device, threads)
    network = from_trained(
        opened,
        PIPELINES[name].task,
        shown=source,
        otherwise="choose weights that were",
        dtype=dtype,
        allow_new_head=allow_new_head,
    )
    return on_cell(name, network, tokenizer, precision=dtype or "float32")


def prepare_device(device: str, threads: int | None) -> None:
    """Set the process to graph mode on a device, with so many CPU threads for an operator.

    Raises:
        DeviceError: the device is not there.
    """
    from bert_ms import compat, kernels

    if compat.use_device(device, graph_mode=True, threads=threads) == "cpu" and threads is not None:
        kernels.set_threads(threads)


def on_cell(name: str, network: Any, tokenizer: Tokenizer, *, precision: str = "float32") -> OpenedPipeline:
    """What the pipeline `name` runs on, from a network that is there already.

    Args:
        name: of PIPELINES.
        network: a Cell with `config`, in evaluation mode.
        tokenizer: of the network.
        precision: that the network computes in.
    """
    from bert_ms.pipelines.backends import CellBackend

    kind, task, config = PIPELINES[name], tasks.get(PIPELINES[name].task), network.config
    options: dict[str, Any] = {}
    backend: Any
    if name == "text-generation":
        from bert_ms.model.heads.causal_cache import CausalSteps

        backend = CausalSteps(network)
    elif kind.cell is not None:
        backend = CellBackend(load(kind.cell)(network), outputs=("logits",), row_outputs=("logits",))
    else:
        backend = CellBackend(network, outputs=task.outputs, row_outputs=task.row_outputs)
    if name == "token-classification" and config.has_crf:
        options["transitions"] = network.crf.transitions.asnumpy()
    return OpenedPipeline(
        name=name, backend=backend, tokenizer=tokenizer, config=config, options=options, precision=precision
    )


def on_exported(
    name: str, exported: Exported, tokenizer: Tokenizer, *, device: str = "auto", threads: int | None = None
) -> OpenedPipeline:
    """What the pipeline `name` runs on, from an exported network.

    Args:
        name: of PIPELINES.
        exported: the network.
        tokenizer: of it.
        device: see `open_backend`.
        threads: see `open_backend`.

    Raises:
        ConfigError: it was exported for another task, or the pipeline needs more than an exported network has.
        CheckpointError: its files cannot be used.
        DeviceError: the device is not there.
    """
    from bert_ms.pipelines.text.classification import ChoiceRows

    _check_task(name, exported)
    runs = exported.backend(device=device, threads=threads)
    backend: Any = runs
    options: dict[str, Any] = {}
    if name == "fill-mask":
        backend = PickedPositions(runs)
    elif name == "multiple-choice":
        backend = ChoiceRows(runs)
    elif name == "token-classification" and exported.weights:
        (options["transitions"],) = exported.weights.values()
    if exported.record.format == "mindir":
        options["max_length"] = runs.longest
    return OpenedPipeline(
        name=name,
        backend=backend,
        tokenizer=tokenizer,
        config=exported.config,
        options=options,
        format=exported.record.format,
        precision=exported.record.precision,
    )


def _check_task(name: str, exported: Exported) -> None:
    there, wanted = exported.record.task, PIPELINES[name].task
    if name == "text-generation":
        raise ConfigError(
            f"{exported.path} is an exported network, which cannot go on from what it read before: text-generation "
            f"runs on the checkpoint itself."
        )
    if there != wanted and (name, there) != ("fill-mask", "pretraining"):
        raise ConfigError(
            f"{exported.path} was exported for '{there}', and '{name}' needs a network of '{wanted}': export that one "
            f"(bert-ms export SOURCE DIR --task {wanted})."
        )
