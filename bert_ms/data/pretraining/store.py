"""Long arrays that are written piece by piece and read from disk as they are needed, found again by their content."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.data.cache import default_directory, explained, locked

logger = logging.getLogger(__name__)

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Arrays:
    """Arrays by name, in memory or mapped from files.

    Attributes:
        arrays: by name.
        facts: small numbers and texts that belong to them, JSON values.
        digest: sha256 of their content.
    """

    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, Any]
    digest: str


class Writer:
    """Takes arrays piece by piece, into files or, without a folder, into memory; a context that closes its files.

    Args:
        columns: dtype of each array by name.
        folder: of the files; None keeps the pieces in memory.
    """

    def __init__(self, columns: Mapping[str, Any], folder: Path | None = None):
        self.columns = {name: np.dtype(dtype) for name, dtype in columns.items()}
        self.folder = folder
        self.facts: dict[str, Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = dict.fromkeys(columns, (0,))
        self._digests = {name: hashlib.sha256() for name in columns}
        self._pieces: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        self._open = ExitStack()
        self._files: dict[str, Any] = {}
        if folder is not None:
            self._files = {name: self._open.enter_context((folder / _file(name)).open("wb")) for name in columns}

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def append(self, **pieces: np.ndarray) -> None:
        """Lengthen arrays by pieces, along their first axis."""
        for name, given in pieces.items():
            piece = np.ascontiguousarray(given, self.columns[name])
            self._shapes[name] = (self._shapes[name][0] + len(piece), *piece.shape[1:])
            self._digests[name].update(piece.data)
            if self.folder is None:
                self._pieces[name].append(piece)
            else:
                piece.tofile(self._files[name])

    def close(self) -> Arrays:
        """The arrays, complete; on disk they are flushed and their manifest is written."""
        digests = {name: digest.hexdigest() for name, digest in self._digests.items()}
        described = {name: [dtype.str, list(self._shapes[name])] for name, dtype in self.columns.items()}
        digest = hashlib.sha256(json.dumps([described, digests, self.facts], sort_keys=True).encode()).hexdigest()
        if self.folder is None:
            arrays = {name: self._joined(name) for name in self.columns}
            return Arrays(arrays, self.facts, digest)
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._open.close()
        manifest = {"format": FORMAT, "arrays": described, "facts": self.facts, "digest": digest}
        (self.folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        return _read(self.folder)

    def _joined(self, name: str) -> np.ndarray:
        empty = np.zeros(self._shapes[name], self.columns[name])
        return np.concatenate(self._pieces[name]) if self._pieces[name] else empty


def kept(
    kind: str,
    key: Mapping[str, Any],
    columns: Mapping[str, Any],
    build: Callable[[Writer], None],
    *,
    directory: str | os.PathLike[str] | None = None,
    in_memory: bool = False,
) -> Arrays:
    """Arrays from the cache, or built and put there; they are mapped, not read.

    Several processes may ask at once: one builds, the others wait. An entry appears complete or not at all; one whose
    files have another size than they should is built anew.

    Args:
        kind: what they are, the beginning of the entry's name.
        key: what they depend on, JSON values.
        columns: dtype of each array by name.
        build: appends everything to the writer that it is given.
        directory: of the cache; None takes the user's.
        in_memory: build without the cache.

    Raises:
        DataError: the entry cannot be written, for example because the disk is full; nothing is left of it.
    """
    if in_memory:
        writer = Writer(columns)
        build(writer)
        return writer.close()
    root = Path(directory).expanduser() if directory is not None else default_directory()
    content = json.dumps([FORMAT, kind, key], sort_keys=True)
    target = root / f"{kind}-{hashlib.sha256(content.encode()).hexdigest()[:24]}"
    with locked(target):
        if target.is_dir():
            try:
                found = _read(target)
                logger.info("%s taken from %s", kind, target)
                return found
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.warning("%s is damaged (%s): made anew.", target, error)
        with explained(root):
            return _built(target, columns, build)


def _built(target: Path, columns: Mapping[str, Any], build: Callable[[Writer], None]) -> Arrays:
    for abandoned in target.parent.glob(f".{target.name}.*.tmp"):  # of a process that was killed: this one has the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        with Writer(columns, temporary) as writer:
            build(writer)
            writer.close()
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _read(target)


def _read(folder: Path) -> Arrays:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    arrays = {}
    for name, (dtype, shape) in manifest["arrays"].items():
        file, expected = folder / _file(name), int(np.prod(shape)) * np.dtype(dtype).itemsize
        if file.stat().st_size != expected:
            raise ValueError(f"{file.name} has {file.stat().st_size:,} bytes, expected {expected:,}")
        arrays[name] = np.memmap(file, dtype, "r", shape=tuple(shape)) if expected else np.zeros(shape, dtype)
    return Arrays(arrays, manifest["facts"], manifest["digest"])


def _file(name: str) -> str:
    return f"{name}.bin"
