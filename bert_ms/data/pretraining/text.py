"""Raw text files, one or many of them, as a stream of sentences."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from bert_ms.data.pretraining import sentences
from bert_ms.errors import DataError

Style = Literal["sentences", "paragraphs"]
# A longer line is no text that anybody wrote in lines; reading it whole would need its size in memory.
MAX_LINE = 16 * 2**20


def files_of(path: str | Path) -> list[Path]:
    """The files that a path stands for: itself, all in a folder, or all that match a pattern (`*`, `?`, `**`).

    Files whose names begin with a dot are left out; the order is that of their names.

    Raises:
        DataError: there is none.
    """
    given = Path(path)
    if given.is_file():
        return [given]
    if given.is_dir():
        found = [file for file in given.rglob("*") if _is_text(file.relative_to(given)) and file.is_file()]
    else:
        found = [Path(name) for name in glob.glob(str(given), recursive=True) if Path(name).is_file()]
    if not found:
        what = "a folder without files" if given.is_dir() else "no file, and no pattern that any file matches"
        raise DataError(f"{path} is {what}: name a text file, a folder of them, or a pattern such as 'text/*.txt'.")
    return sorted(found)


def stream(files: Iterable[Path], style: Style) -> Iterator[tuple[str, bool]]:
    """Every sentence that is not blank, with whether it begins a document.

    Args:
        files: in UTF-8; a file ends a document.
        style: "sentences" has one sentence a line and a blank line between documents; in "paragraphs" each line is a
            document, whose sentences are found by `sentences.split`.

    Raises:
        DataError: a file cannot be read, is not UTF-8, or has a line longer than 16 million characters.
    """
    for file in files:
        begins = True
        for line in _lines(file):
            if not line:
                begins = True
                continue
            parts = [line] if style == "sentences" else sentences.split(line)
            for part in parts:
                yield part, begins
                begins = False
            if style == "paragraphs":
                begins = True


def _lines(file: Path) -> Iterator[str]:
    """Lines without the blanks around them."""
    number = 0
    try:
        with open(file, encoding="utf-8-sig", newline="\n") as opened:
            while line := opened.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise DataError(
                        f"{file}: line {number:,} has more than {MAX_LINE:,} characters: expected one sentence or "
                        f"paragraph a line."
                    )
                yield line.strip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 (byte 0x{error.object[error.start]:02x} after line {number:,}): convert it first."
        ) from None
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from error


def _is_text(name: Path) -> bool:
    return not any(part.startswith(".") for part in name.parts)
