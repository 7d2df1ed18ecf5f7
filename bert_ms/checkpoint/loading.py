"""Fill a network's parameters from a checkpoint, completely or not at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bert_ms import compat
from bert_ms.checkpoint.names import ENCODER_PARTS, ENCODER_PREFIX
from bert_ms.checkpoint.opened import Checkpoint, bare, open_checkpoint
from bert_ms.checkpoint.report import LoadReport, WrongShape

logger = logging.getLogger(__name__)

OTHER_HEAD = "head of another task"
NO_POOLER = "pooler, which this network has not"


def load_into(
    cell: Any,
    source: Checkpoint | str | os.PathLike[str],
    *,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] = (),
    initialise: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> LoadReport:
    """Fill a network from weights of any format and origin.

    Nothing is written into the network unless everything fits.

    Args:
        cell: a Cell whose parameter paths are our names, for example from `bert_ms.model.build`.
        source: an opened checkpoint, or its path.
        allow_missing: patterns (`classifier.*`) of parameters that keep their values when the file has none that fits.
        allow_unused: patterns of the file's tensors that may be left over.
        initialise: patterns of parameters that keep their values whatever the file has.
        notes: more lines for the report.

    Returns:
        The report, complete by then.

    Raises:
        CheckpointError: the file is broken, or does not fit and no pattern allows it.
    """
    checkpoint = source if isinstance(source, Checkpoint) else open_checkpoint(source)
    parameters = {path: parameter for path, parameter in cell.parameters_and_names()}
    paths = bare(parameters)
    report = plan(
        checkpoint,
        {name: tuple(parameters[path].shape) for name, path in paths.items()},
        allow_missing=allow_missing,
        allow_unused=allow_unused,
        initialise=initialise,
        notes=notes,
    )
    report.raise_if_bad()
    for name in report.matched:
        _assign(parameters[paths[name]], checkpoint.array(name))
    for name in report.initialised:
        if parameters[paths[name]].has_init:
            parameters[paths[name]].init_data()
    if report.initialised:
        logger.warning("newly initialised, to be trained before use: %s", ", ".join(report.initialised))
    return report


def plan(
    checkpoint: Checkpoint,
    shapes: dict[str, tuple[int, ...]],
    *,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] = (),
    initialise: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> LoadReport:
    """What loading into parameters of these shapes would do, without doing it; see `load_into`.

    Args:
        checkpoint: the weights.
        shapes: shape of each parameter by our bare names.
    """
    entries = checkpoint.entries
    new_head = _new_head(shapes, entries)
    matched, missing, initialised, wrong = [], [], [], []
    for name, shape in shapes.items():
        found = entries.get(name)
        if _matches(name, initialise) or (found is None and name in new_head):
            initialised.append(name)
        elif found is not None and tuple(found.shape) == tuple(shape):
            matched.append(name)
        elif _matches(name, allow_missing):
            initialised.append(name)
        elif found is None:
            missing.append(name)
        else:
            wrong.append(WrongShape(name, tuple(shape), tuple(found.shape)))
    dropped = {why: list(names) for why, names in checkpoint.dropped.items()}
    unused = [name for name in checkpoint.unknown if not _matches(name, allow_unused)]
    for name in entries:
        if name not in shapes:
            reason = _reason(name)
            if reason:
                dropped.setdefault(reason, []).append(checkpoint.file_names[name])
            elif not _matches(checkpoint.file_names[name], allow_unused) and not _matches(name, allow_unused):
                unused.append(checkpoint.file_names[name])
    return LoadReport(
        source=str(checkpoint.source.weights),
        format=checkpoint.weights.format,
        origin=checkpoint.origin,
        matched=tuple(matched),
        missing=tuple(missing),
        unused=tuple(unused),
        initialised=tuple(initialised),
        wrong_shape=tuple(wrong),
        dropped={why: tuple(names) for why, names in dropped.items()},
        notes=(*checkpoint.notes, *notes),
    )


def _new_head(shapes: Iterable[str], entries: Iterable[str]) -> set[str]:
    """Head parameters of the network, if the file has none of that head: then they are new, not missing.

    The pooler is new with the head that reads it: files of masked language models come without one.
    """
    shapes, entries = set(shapes), set(entries)
    head = {name for name in shapes if not name.startswith(ENCODER_PARTS)}
    absent = {part for part in map(_first, head) if part not in set(map(_first, entries))}
    if absent:
        head |= {name for name in shapes if _first(name) == "pooler"}
        absent |= {"pooler"} - set(map(_first, entries))
    return {name for name in head if _first(name) in absent}


def _first(name: str) -> str:
    return name.split(".")[0]


def _reason(name: str) -> str | None:
    """Why a tensor that is known may be left over, or None if it should have been used."""
    if not name.startswith(ENCODER_PARTS):
        return OTHER_HEAD
    return NO_POOLER if name.startswith("pooler.") else None


def _matches(name: str, patterns: Sequence[str]) -> bool:
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(fnmatchcase(name, p) or fnmatchcase(ENCODER_PREFIX + name, p) for p in patterns)


def _assign(parameter: Any, array: Any) -> None:
    ms = compat.mindspore()
    tensor = ms.Tensor.from_numpy(array) if array.flags.c_contiguous and array.flags.writeable else ms.Tensor(array)
    parameter.set_data(tensor if tensor.dtype == parameter.dtype else tensor.astype(parameter.dtype))
