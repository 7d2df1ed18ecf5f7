"""Writing small files so that none is ever seen half-written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bert_ms.errors import BertMsError


def write_files(
    directory: str | os.PathLike[str], contents: Mapping[str, str | bytes], *, error: type[BertMsError] = BertMsError
) -> list[Path]:
    """Write files into a directory: all beside their places first, flushed to disk, then renamed one by one.

    Args:
        directory: is made if it is not there.
        contents: by file name; text is written as UTF-8.
        error: raised when it cannot be done, constructed with one sentence.

    Returns:
        The files written.

    Raises:
        BertMsError: of the class `error`: the disk is full, or the directory cannot be written to. Files that were
            there are untouched and nothing new is left behind.
    """
    folder = Path(directory)
    written: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            part = folder / f".{name}.{os.getpid()}.part"
            written.append((part, folder / name))
            with part.open("wb") as file:
                file.write(content.encode("utf-8", "replace") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        for part, target in written:
            os.replace(part, target)
    except OSError as cause:
        place = folder / next(iter(contents)) if len(contents) == 1 else folder
        raise error(f"{place} cannot be written: {cause.strerror or cause}.") from None
    finally:
        for part, _ in written:
            part.unlink(missing_ok=True)
    return [target for _, target in written]


def write_file(
    path: str | os.PathLike[str], content: str | bytes, *, error: type[BertMsError] = BertMsError
) -> Path:
    """Write one file; see `write_files`."""
    target = Path(path)
    return write_files(target.parent, {target.name: content}, error=error)[0]
