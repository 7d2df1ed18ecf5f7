"""Writing a file of the run folder so that it is never seen half-written."""

from __future__ import annotations

from pathlib import Path

from bert_ms import files
from bert_ms.errors import TrainingError


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Write a file in one atomic step; see `bert_ms.files.write_files`.

    Raises:
        TrainingError: the disk is full, or the place cannot be written to; a file that was there is untouched.
    """
    return files.write_file(path, content, error=TrainingError)
