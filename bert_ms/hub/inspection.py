"""What is in a checkpoint, and what it would lack for each task; nothing is loaded, and MindSpore is not needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from bert_ms import checkpoint, tasks
from bert_ms.checkpoint import architecture
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from bert_ms.hub import catalogue

# First parts of the parameters that each task's network has beside the encoder.
_PARTS: dict[str, tuple[str, ...]] = {
    "encoder": (),
    "question-answering": ("qa_outputs",),
    "sequence-classification": ("pooler", "classifier"),
    "multiple-choice": ("pooler", "classifier"),
    "token-classification": ("classifier",),
    "next-sentence": ("pooler", "seq_relationship"),
    "pretraining": ("predictions", "pooler", "seq_relationship"),
    "masked-lm": ("predictions",),
    "causal-lm": ("predictions",),
}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A checkpoint, described.

    Attributes:
        path: the file of the weights, or the index of its shards.
        format: of the file.
        origin: whose names it uses.
        task: what the weights were trained for.
        config: of the network.
        parameters: numbers in the tensors that a network takes.
        bytes: that they take as stored.
        stored_as: tensors by the type they are stored as.
        vocabulary: files of a vocabulary beside the weights.
        notes: what was assumed.
        dropped: reason -> how many tensors are known and not needed.
        unknown: tensors that nothing explains.
        missing: parameters of the encoder that are not there.
        lacks: task -> first parts of the parameters that would be new; empty where nothing is.
    """

    path: str
    format: str
    origin: str
    task: str
    config: BertConfig
    parameters: int
    bytes: int
    stored_as: Mapping[str, int]
    vocabulary: tuple[str, ...]
    notes: tuple[str, ...]
    dropped: Mapping[str, int]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    lacks: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "config": self.config.to_dict(),
            "stored_as": dict(self.stored_as),
            "dropped": dict(self.dropped),
            "lacks": {task: list(parts) for task, parts in self.lacks.items()},
        }


def inspect(
    source: str | os.PathLike[str], *, config: BertConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None
) -> Inspection:
    """Describe the weights of a directory, a file, or a catalogue name.

    Args:
        source: as `bert_ms.from_pretrained` takes it.
        config: the configuration, for weights that come without one.

    Raises:
        CheckpointError: the weights are broken, of an unknown kind, or do not fit their configuration.
        ConfigError: a configuration cannot be read.
    """
    opened = checkpoint.open_checkpoint(catalogue.resolve(source), config=config)
    encoder = architecture.encoder_shapes(opened.config)
    missing = [name for name in encoder if name not in opened.entries and not name.startswith("pooler.")]
    names = [path.name for path in sorted(opened.source.directory.iterdir()) if path.is_file()]
    return Inspection(
        path=str(opened.source.weights),
        format=opened.weights.format,
        origin=opened.origin,
        task=opened.task,
        config=opened.config,
        parameters=sum(prod(entry.shape) for entry in opened.entries.values()),
        bytes=sum(entry.nbytes for entry in opened.entries.values()),
        stored_as=Counter(entry.dtype for entry in opened.entries.values()),
        vocabulary=tuple(name for name in names if name.startswith(("vocab", "tokenizer")) or name.endswith(".vocab")),
        notes=opened.notes,
        dropped={why: len(found) for why, found in opened.dropped.items()},
        unknown=opened.unknown,
        missing=tuple(missing),
        lacks={task: lacking(task, opened) for task in tasks.names() if task in _PARTS},
    )


def lacking(task: str, opened: checkpoint.Checkpoint) -> tuple[str, ...]:
    """First parts of the parameters that a network of this task would have to draw anew.

    A classifier is of one task only: its names and shapes are the same for texts, tokens and choices.
    """
    there = {name.partition(".")[0] for name in opened.entries}
    if "classifier" in _PARTS[task] and opened.task != task:
        there.discard("classifier")
    return tuple(part for part in _PARTS[task] if part not in there)


def no_head(
    opened: checkpoint.Checkpoint, task: str, names: Sequence[str], *, shown: str | os.PathLike[str], otherwise: str
) -> CheckpointError:
    """The error for weights that are to answer what they were not trained for.

    Args:
        opened: the weights.
        task: a task name.
        names: parameters, or first parts of them, that would be new.
        shown: the source as errors call it.
        otherwise: what to do instead of training it.
    """
    return CheckpointError(
        f"{shown} was trained for '{opened.task}' and has no head for '{task}' ({', '.join(names)} would be random): "
        f"train it first (bert-ms train), or {otherwise}."
    )
