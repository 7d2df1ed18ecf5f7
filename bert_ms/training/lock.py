"""One process for one run folder."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bert_ms.errors import TrainingError


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends.

    Raises:
        TrainingError: another process holds it, or the folder cannot be written to.
    """
    owner = folder / ".lock.owner"
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise TrainingError(
            f"{folder} is in use by another run ({_read(owner)}): wait for it, stop it, or set another output_dir."
        ) from None
    except OSError as error:
        raise TrainingError(f"{folder} cannot be written to: {error.strerror or error}. Set output_dir.") from None
    try:
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its owner's name
            owner.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _read(owner: Path) -> str:
    try:
        return owner.read_text(encoding="utf-8")
    except OSError:
        return "its process is not known"
