"""Which of the many files of a TensorFlow checkpoint to read: the index of the one that is meant."""

from __future__ import annotations

import re
from pathlib import Path

from bert_ms.checkpoint.readers import sniff, tensorflow
from bert_ms.errors import CheckpointError

STATE = "checkpoint"  # the file in which training writes which checkpoint is the latest
MAX_STATE_BYTES = 1 << 20
# Where an index is below a directory: in a SavedModel, or in a directory that holds that or a checkpoint.
_BELOW = ("variables/variables.index", "*/*.index", "*/variables/variables.index")
_LATEST = re.compile(r'^model_checkpoint_path:\s*"(?:[^"]*/)?([^"/]+)"', re.MULTILINE)


def index_of(path: Path) -> Path | None:
    """The index that a path means by TensorFlow's customs: a prefix without a file, a shard, or a graph (.meta)."""
    if not path.name:  # of the root, and of "."
        return None
    match = tensorflow.PART.fullmatch(path.name)
    stem = match["prefix"] if match else path.name
    index = path.with_name(stem + tensorflow.SUFFIX)
    return index if index != path and index.is_file() else None


def in_directory(directory: Path) -> Path | None:
    """The index of the one TensorFlow checkpoint in a directory, or None.

    Raises:
        CheckpointError: there are several, and the file `checkpoint` does not say which is the latest; or shards
            without an index.
    """
    if (found := _one(directory, "*.index")) is not None:
        return found
    shards = [p.name for p in directory.iterdir() if ".data-" in p.name and tensorflow.PART.fullmatch(p.name)]
    if shards:
        raise CheckpointError(
            f"{directory} has {sorted(shards)[0]}, but not the .index that names the tensors in it: copy that, too."
        )
    return None


def below(directory: Path) -> Path | None:
    """The index of the one TensorFlow checkpoint or SavedModel below a directory, or None.

    Raises:
        CheckpointError: there are several.
    """
    return next((found for place in _BELOW if (found := _one(directory, place)) is not None), None)


def is_part(path: Path) -> bool:
    """Whether a file is one of those of a TensorFlow checkpoint, by its name."""
    return tensorflow.PART.fullmatch(path.name) is not None


def _one(directory: Path, place: str) -> Path | None:
    found = sorted(path for path in directory.glob(place) if path.is_file() and _is_index(path))
    return _latest(directory, found) if len(found) > 1 else next(iter(found), None)


def _is_index(path: Path) -> bool:
    found = sniff(path)
    return found is not None and found.read is tensorflow.read


def _latest(directory: Path, found: list[Path]) -> Path:
    state = found[0].parent / STATE
    if state.is_file() and state.stat().st_size <= MAX_STATE_BYTES:
        match = _LATEST.search(state.read_text(encoding="utf-8", errors="replace"))
        chosen = [path for path in found if match and path.name == match[1] + tensorflow.SUFFIX]
        if chosen:
            return chosen[0]
    shown = ", ".join(str(path.relative_to(directory)) for path in found[:6])
    raise CheckpointError(f"{directory} holds several TensorFlow checkpoints ({shown}): name the one meant.")
