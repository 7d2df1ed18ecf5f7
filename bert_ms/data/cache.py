"""Prepared features kept on disk, found again by the content that they were made from."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import tokenizers

from bert_ms.data import mindrecord
from bert_ms.data.loader import InMemory, RowSource
from bert_ms.errors import DataError
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

Storage = Literal["auto", "arrays", "mindrecord"]
STORAGES = ("auto", "arrays", "mindrecord")
# Larger features are kept as MindRecord with storage="auto".
LARGE_BYTES = 2**30
FORMAT = 1
MANIFEST = "manifest.json"
_COLUMNS = ("input_ids", "token_type_ids", "row_splits", "example_index", "offsets", "in_context")
_SIDECAR = ("row_splits", "example_index", "offsets", "in_context")
_WAIT_SECONDS = 15


def default_directory() -> Path:
    """Where features are kept unless said otherwise: $BERT_MS_CACHE, else the user's cache directory."""
    own = os.environ.get("BERT_MS_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(own) if own else home / "bert_ms") / "features"


def content_key(
    path: str | os.PathLike[str], *, tokenizer: Tokenizer, version: int, **arguments: Any
) -> dict[str, Any]:
    """Everything that features of a file depend on: its content, the tokenizer, the arguments, the code.

    Args:
        path: the data file.
        tokenizer: of the network.
        version: of the code that makes the features; changes when the same arguments give other features.
        arguments: JSON values.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        digest = _digest(Path(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return {
        "data": digest,
        "tokenizer": tokenizer.fingerprint(),
        "tokenizers": tokenizers.__version__,
        "version": version,
        "arguments": arguments,
    }


def prepared(
    key: Mapping[str, Any],
    build: Callable[[], Features],
    *,
    directory: str | os.PathLike[str] | None = None,
    storage: Storage = "auto",
) -> Features:
    """Features from the cache, or built and put there; whole in memory.

    Several processes may ask at once: one builds, the others wait and read. An entry appears complete or not at all.
    One that has been damaged is noticed by its checksums, and built anew.

    Args:
        key: what the features depend on, see `content_key`; JSON values.
        build: makes the features.
        directory: of the cache; None takes `default_directory`.
        storage: "arrays" keeps an entry as .npy files, "mindrecord" as MindRecord, "auto" decides by size.

    Raises:
        DataError: the entry cannot be written, for example because the disk is full; nothing is left of it.
    """
    entry, _ = _entry(key, build, directory, storage)
    return entry if isinstance(entry, Features) else _read(entry)


def prepared_rows(
    key: Mapping[str, Any],
    build: Callable[[], Features],
    *,
    directory: str | os.PathLike[str] | None = None,
    storage: Storage = "auto",
) -> Features | RowSource:
    """The same for a loader: large data in MindRecord is streamed from there as it is needed.

    Arguments and errors are those of `prepared`.
    """
    entry, storage_used = _entry(key, build, directory, storage)
    if storage_used != "mindrecord":
        return entry if isinstance(entry, Features) else _read(entry)
    if isinstance(entry, Features):  # just built: from now on it is read from the files
        entry, _ = _entry(key, build, directory, storage)
    if isinstance(entry, Features):
        return entry
    manifest = _manifest(entry)
    row_splits = np.load(entry / "row_splits.npy")
    return mindrecord.Rows(entry, row_splits, manifest["labels"], manifest["meta"], manifest["content"])


def _entry(
    key: Mapping[str, Any],
    build: Callable[[], Features],
    directory: str | os.PathLike[str] | None,
    storage: Storage,
) -> tuple[Path | Features, str]:
    """The entry's folder if it was there, else the features just built; with how they are stored."""
    if storage not in STORAGES:
        raise DataError(f"storage is {storage!r}, expected one of {', '.join(STORAGES)}.")
    root = Path(directory) if directory is not None else default_directory()
    content = json.dumps([FORMAT, storage, key], sort_keys=True)
    target = root / f"features-{hashlib.sha256(content.encode()).hexdigest()[:24]}"
    with locked(target):
        if target.is_dir():
            damage = _damage(target)
            if damage is None:
                logger.info("features taken from %s", target)
                return target, _manifest(target)["storage"]
            logger.warning("%s is damaged (%s): made anew.", target, damage)
        features = build()
        is_large = _bytes(features) > LARGE_BYTES
        chosen = ("mindrecord" if is_large else "arrays") if storage == "auto" else storage
        with explained(root):
            _write(target, features, chosen)
        return features, chosen


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold an entry for this process, saying so while waiting; the lock goes when the process does."""
    with explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{target}.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_WAIT_SECONDS)
            except filelock.Timeout:
                logger.info("waiting for another process that prepares the same features (%s)", lock.lock_file)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Say what to do when the disk refuses to keep something in `root`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"features cannot be kept in {root}: {error.strerror or error}. Make room there, or set another directory "
            f"(data.cache_dir=..., or the environment variable BERT_MS_CACHE)."
        ) from error


def _write(target: Path, features: Features, storage: str) -> None:
    for abandoned in target.parent.glob(f".{target.name}.*.tmp"):  # of a process that was killed: this one has the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        _check_space(temporary, features)
        names = _COLUMNS if storage == "arrays" else _SIDECAR
        arrays = {name: getattr(features, name) for name in names if getattr(features, name) is not None}
        if storage == "arrays":
            arrays.update({f"label.{name}": column for name, column in features.labels.items()})
        else:
            mindrecord.write(temporary, features)
        for name, array in arrays.items():
            with open(temporary / f"{name}.npy", "wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        manifest = {
            "format": FORMAT,
            "storage": storage,
            "labels": mindrecord.label_kinds(features),
            "meta": dict(features.meta),
            "content": InMemory(features).fingerprint(),
            "files": {path.name: _digest(path) for path in sorted(temporary.iterdir())},
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)  # a damaged one
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_space(directory: Path, features: Features) -> None:
    needed, free = int(1.2 * _bytes(features)), shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 2**20:,.0f} MB needed, {free / 2**20:,.0f} MB free")


def _read(entry: Path) -> Features:
    manifest = _manifest(entry)
    columns = {name: np.load(entry / f"{name}.npy") for name in _COLUMNS if (entry / f"{name}.npy").is_file()}
    if manifest["storage"] == "mindrecord":
        return Features(**columns, **mindrecord.read(entry, manifest["labels"]), meta=manifest["meta"])
    labels = {name: np.load(entry / f"label.{name}.npy") for name in manifest["labels"]}
    return Features(**columns, labels=labels, meta=manifest["meta"])


def _damage(entry: Path) -> str | None:
    """What is wrong with an entry; None if nothing is."""
    try:
        manifest = _manifest(entry)
        for name, digest in manifest["files"].items():
            if _digest(entry / name) != digest:
                return f"{name} has changed"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _manifest(entry: Path) -> dict[str, Any]:
    return json.loads((entry / MANIFEST).read_text(encoding="utf-8"))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _bytes(features: Features) -> int:
    columns = [getattr(features, name) for name in _COLUMNS] + list(features.labels.values())
    return sum(column.nbytes for column in columns if column is not None)
