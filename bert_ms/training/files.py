"""Writing a file of the run folder so that it is never seen half-written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from bert_ms.errors import TrainingError


def write_file(path: str | Path, content: str | bytes) -> Path:
    """Write a file beside its place, flush it to disk, and move it there.

    Args:
        path: its directory is made if it is not there.
        content: text is written as UTF-8.

    Raises:
        TrainingError: the disk is full, or the place cannot be written to; a file that was there is untouched.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise TrainingError(f"{target} cannot be written: {error.strerror or error}.") from None
    return target
