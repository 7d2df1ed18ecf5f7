"""Checkpoints to resume from: written whole or not at all, proven by checksums, the last few kept."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.checkpoint.manifest import sha256
from bert_ms.checkpoint.weights import Entry
from bert_ms.checkpoint.writers import write_safetensors
from bert_ms.errors import TrainingError

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
STATE = "state.json"
FORMAT = 1
_STEP = re.compile(r"step-(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class ResumePoint:
    """A complete checkpoint on disk.

    Attributes:
        path: its directory.
        step: optimiser steps done when it was written.
        state: what was given as `state` to `CheckpointStore.save`.
    """

    path: Path
    step: int
    state: dict[str, Any]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays saved under `name`, by their own names."""
        from safetensors.numpy import load_file

        return load_file(self.path / f"{name}.safetensors")


class CheckpointStore:
    """The directory `checkpoints/` of a run: a folder `step-N` for each checkpoint, `step-N.1` for step N saved again.

    A checkpoint is written to a hidden folder, flushed to disk, and renamed when it is complete. So whatever is killed
    at whatever moment, each `step-N` is whole. A manifest with checksums shows damage that came later.

    Args:
        directory: made if it is not there.
        keep_last: of so many steps checkpoints are kept; older ones are deleted after a new one is complete.
    """

    def __init__(self, directory: str | os.PathLike[str], *, keep_last: int = 2):
        self.directory = Path(directory)
        self.keep_last = keep_last

    def save(self, step: int, arrays: Mapping[str, Mapping[str, np.ndarray]], state: Mapping[str, Any]) -> Path:
        """Write a checkpoint and delete those that are too old.

        Args:
            step: optimiser steps done.
            arrays: by file name without ending: arrays by name, any of the common dtypes.
            state: everything else, JSON values.

        Returns:
            The checkpoint's directory.

        Raises:
            TrainingError: it cannot be written, for example because the disk is full; older checkpoints are untouched.
        """
        target = self._free_name(step)
        temporary = self.directory / f".{target.name}.{os.getpid()}.tmp"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            for name, content in arrays.items():
                _write_arrays(temporary / f"{name}.safetensors", content)
            _write_json(temporary / STATE, dict(state))
            files = {
                path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)}
                for path in sorted(temporary.iterdir())
            }
            _write_json(temporary / MANIFEST, {"format": FORMAT, "step": step, "files": files})
            _sync(temporary)
            os.rename(temporary, target)
            _sync(self.directory)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise TrainingError(self._no_room(error, target, arrays)) from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        self._prune(step)
        return target

    def latest(self) -> ResumePoint | None:
        """The newest checkpoint that is whole; damaged ones are named in a warning and passed over."""
        for step, _, path in reversed(self._checkpoints()):
            damage = _damage(path)
            if damage is None:
                return ResumePoint(path, step, json.loads((path / STATE).read_text(encoding="utf-8")))
            logger.warning("checkpoint %s cannot be used (%s); trying the one before", path, damage)
        return None

    def clean(self) -> None:
        """Remove what an interrupted save or deletion left behind. Only for the process that holds the run's lock."""
        for leftover in self.directory.glob(".step-*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _checkpoints(self) -> list[tuple[int, int, Path]]:
        """(step, revision, path) of each, oldest first."""
        if not self.directory.is_dir():
            return []
        found = ((_STEP.fullmatch(path.name), path) for path in self.directory.iterdir())
        return sorted((int(match.group(1)), int(match.group(2) or 0), path) for match, path in found if match)

    def _free_name(self, step: int) -> Path:
        """A folder that cannot be renamed over would have to go first, and a kill could come between."""
        taken = [revision for number, revision, _ in self._checkpoints() if number == step]
        return self.directory / (f"step-{step}.{max(taken) + 1}" if taken else f"step-{step}")

    def _prune(self, step: int) -> None:
        """Delete what is too old for the step just saved.

        Damaged checkpoints of later steps, which the run passed over, go too: they would count as the newest, and each
        good one as too old.
        """
        found = self._checkpoints()
        damaged = {path for number, _, path in found if number > step and _damage(path) is not None}
        newest = {number: path for number, _, path in found if path not in damaged}
        kept = set(list(newest.values())[-self.keep_last :])
        for _, _, path in found:
            if path not in kept:
                _remove(path)

    def _no_room(self, error: OSError, target: Path, arrays: Mapping[str, Mapping[str, np.ndarray]]) -> str:
        megabytes = sum(a.nbytes for group in arrays.values() for a in group.values()) / 1e6
        text = f"cannot write checkpoint {target}: {error.strerror or error}. "
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(self.directory).free / 1e6
            text += (
                f"It needs {megabytes:.0f} MB and {free:.0f} MB are free: make room, or set training.keep_last lower. "
            )
        return text + "Earlier checkpoints are untouched; the same command continues from the newest of them."


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in one atomic step: to a hidden file, flushed, renamed.

    Args:
        path: an existing file there is replaced.
        arrays: by name.
        metadata: texts kept in the file's header.

    Raises:
        TrainingError: the file cannot be written; one that was there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_arrays(temporary, arrays, metadata)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise TrainingError(
            f"cannot write {path}: {error.strerror or error}. Make room or set another output_dir."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    write_safetensors(path, {name: _entry(array) for name, array in arrays.items()}, texts=metadata or {})
    _sync(path)


def _entry(array: np.ndarray) -> Entry:
    return Entry(array.shape, array.dtype.name, lambda: array)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    _sync(path)


def _sync(path: Path) -> None:
    """Have a file's content, or a directory's names, on disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    """Delete a checkpoint so that a half-deleted one never looks whole."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    os.rename(path, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def _damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None if its manifest agrees with its files."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            return f"its format is {manifest['format']}, this version reads {FORMAT}"
        for name, entry in manifest["files"].items():
            size = (path / name).stat().st_size
            if size != entry["bytes"]:
                return f"{name} has {size} bytes instead of {entry['bytes']}"
            if sha256(path / name) != entry["sha256"]:
                return f"{name} does not have its sha256"
    except OSError as error:
        return f"{error.filename and Path(error.filename).name}: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"its {MANIFEST} is not readable"
    return None
