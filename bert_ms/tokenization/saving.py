"""Writing several small files so that none is ever seen half-written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bert_ms.errors import TokenizerError


def write_files(directory: Path, contents: Mapping[str, str]) -> None:
    """Write text files into a directory: all under temporary names first, then renamed one by one.

    Raises:
        TokenizerError: the directory cannot be made or written to, or the disk is full; nothing new is left behind.
    """
    written: list[tuple[Path, Path]] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            temporary = directory / f".{name}.{os.getpid()}.tmp"
            written.append((temporary, directory / name))
            with open(temporary, "wb") as file:
                file.write(content.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        for temporary, target in written:
            os.replace(temporary, target)
    except OSError as error:
        raise TokenizerError(f"{directory} cannot be written to: {error.strerror or error}.") from error
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
