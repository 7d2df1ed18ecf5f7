"""Write several files so that all of them appear, or none."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bert_ms.errors import CheckpointError

FILE_MODE = 0o644


@contextmanager
def staged(directory: Path, *, needed_bytes: int = 0, last: str | None = None) -> Iterator[Path]:
    """A scratch directory whose files move to `directory` when the block ends well.

    Files are flushed to disk before they are renamed one by one; a failure before that leaves `directory` as it was.

    Args:
        directory: where the files belong; made if it is not there.
        needed_bytes: checked against the free space before anything is written.
        last: name of the file that is moved after all others, because it vouches for them.

    Raises:
        CheckpointError: the disk is full, or the directory cannot be written.
    """
    made = _make(directory)
    staging: Path | None = None
    finished = False
    try:
        _check_space(directory, needed_bytes)
        staging = Path(tempfile.mkdtemp(prefix=".bert_ms-", dir=directory))
        yield staging
        files = sorted((p for p in staging.iterdir() if p.is_file()), key=lambda p: (p.name == last, p.name))
        for file in files:
            _flush(file)
        for file in files:
            os.replace(file, directory / file.name)
        _flush_directory(directory)
        finished = True
    except OSError as error:
        raise CheckpointError(_explain(directory, error)) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if not finished:
            for path in made:
                path.rmdir()


def _make(directory: Path) -> list[Path]:
    """Make a directory with its parents; gives those that were made, deepest first."""
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(_explain(directory, error)) from error
    return missing


def _check_space(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise CheckpointError(
            f"{directory}: {needed / 1e6:.1f} MB are needed, but only {free / 1e6:.1f} MB are free. Nothing is written."
        )


def _flush(file: Path) -> None:
    os.chmod(file, FILE_MODE)
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _flush_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(directory: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{directory}: the disk is full ({error.strerror}). What was written is removed; free some space."
    return f"{directory} cannot be written: {error.strerror or error}. Nothing was left behind."
