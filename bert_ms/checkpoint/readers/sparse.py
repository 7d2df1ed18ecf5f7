"""Tell files that are mostly holes, which an unfinished download or `truncate` leaves."""

from __future__ import annotations

import os
from pathlib import Path

from bert_ms.errors import CheckpointError

LEAST_BYTES = 64 << 20  # of a file whose holes would cost anything
_LEAST_PART = 4  # one byte in so many is on disk: no file system compresses weights as far
_BLOCK = 512  # bytes of st_blocks


def refuse(path: Path) -> None:
    """Refuse a file most of which was never written: its tensors would be gigabytes of zeros, made when they are read.

    Raises:
        CheckpointError: the file is large, it has holes, and they are most of it.
    """
    found = path.stat()
    stored = getattr(found, "st_blocks", found.st_size) * _BLOCK
    if found.st_size < LEAST_BYTES or stored * _LEAST_PART >= found.st_size or not _has_hole(path, found.st_size):
        return
    raise CheckpointError(
        f"{path} is a sparse file: of its {found.st_size} bytes only {stored} were ever written. A download or copy "
        f"did not finish: do it again."
    )


def _has_hole(path: Path, size: int) -> bool:
    """Whether the file system knows of one; some do not count blocks, and some do not tell holes."""
    if not hasattr(os, "SEEK_HOLE"):
        return False
    with path.open("rb") as file:
        try:
            return os.lseek(file.fileno(), 0, os.SEEK_HOLE) < size
        except OSError:
            return False
