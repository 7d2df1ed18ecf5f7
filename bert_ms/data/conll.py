"""Reading words and tags in columns, as CoNLL's shared tasks have them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

from bert_ms.data.tagged import Sentence, TaggedData, assemble
from bert_ms.data.text_files import read_text
from bert_ms.errors import ConfigError, DataError
from bert_ms.tags import schemes

logger = logging.getLogger(__name__)

ENDINGS = (".conll", ".txt", ".bio", ".bmes", ".bioes", ".iob", ".iob2", ".tsv", ".dev", ".train", ".test")
_DOCUMENT = "-DOCSTART-"
_BLANKS = " \t\r"
_BETWEEN = re.compile("[ \t]+")


def read(
    path: str | os.PathLike[str],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    tagging: str = "auto",
    needs_tags: bool = True,
    has_positions: bool = False,
    limit: int | None = None,
) -> TaggedData:
    """The sentences of a file: one word a line with its tag in another column, a blank line after each sentence.

    Tabs separate the columns where the first line has one, else blanks do. Lines that begin with -DOCSTART- separate
    documents, hence sentences; the end of the last sentence need not be marked.

    Args:
        path: the file, UTF-8.
        text_column: number of the word's column, from 0, from the end below 0; None takes the first.
        label_column: of the tag's; None takes the last.
        tagging: see `tagged.assemble`.
        needs_tags: without, a file of words alone is read too, and a last column that holds no tags is not looked at.
        has_positions: a digit after each character, which tells its place in a segmented word, is taken off (Weibo).
        limit: read only the first so many sentences.

    Raises:
        DataError: the file cannot be read; a line has other columns than the first; no tags, or none that can be
            used, see `tagged.assemble`.
        ConfigError: a column is no number, or not in the file.
    """
    file = Path(path)
    content = read_text(file, kind="words in columns", endings=ENDINGS)
    first = next((line for _, line in _lines(content) if line is not None), None)
    if first is None:
        raise DataError(f"{path} holds no sentences: only blank lines and {_DOCUMENT}.")
    separator = "\t" if "\t" in first else " "
    width = len(_cells(first, separator))
    word_at = _column("text_column", text_column, 0, width, file)
    tag_at: int | None = None
    if needs_tags and width == 1:
        raise DataError(
            f"{path}, line {_number_of(content, first)}: {first[:60]!r} is one column, expected a word and its tag."
        )
    if width > 1 or label_column is not None:
        tag_at = _column("label_column", label_column, width - 1, width, file)
    if tag_at is not None and not needs_tags and label_column is None:
        tag_at = tag_at if schemes.is_tag(_cells(first, separator)[tag_at]) else None
    sentences = _sentences(file, content, separator, width, word_at, tag_at, has_positions=has_positions)
    return assemble(file, sentences, tagging=tagging, limit=limit)


def _sentences(
    path: Path, content: str, separator: str, width: int, word_at: int, tag_at: int | None, *, has_positions: bool
) -> Iterator[Sentence]:
    words: list[str] = []
    tags: list[str] = []
    lines: list[int] = []
    for number, line in _lines(content):
        if line is None:
            if words:
                yield Sentence(words, None if tag_at is None else tags, lines)
                words, tags, lines = [], [], []
            continue
        cells = _cells(line, separator)
        if len(cells) != width:
            how = "tabs" if separator == "\t" else "blanks"
            raise DataError(
                f"{path}, line {number}: {line[:60]!r} has {len(cells)} columns (between {how}), those before have "
                f"{width}. One word stands in a line, and a blank line after a sentence; plain text is for "
                f"bert_ms.pipeline('token-classification', ...)."
            )
        word = cells[word_at]
        if has_positions:
            word = _without_position(word, path, number)
        words.append(word)
        lines.append(number)
        if tag_at is not None:
            tags.append(cells[tag_at])
    if words:
        yield Sentence(words, None if tag_at is None else tags, lines)


def _lines(content: str) -> Iterator[tuple[int, str | None]]:
    """Lines by number; None for one that separates sentences. Only line feeds end them: words may hold the others."""
    for number, line in enumerate(content.split("\n"), start=1):
        is_break = not line.strip(_BLANKS) or line.startswith(_DOCUMENT)
        yield number, None if is_break else line.rstrip("\r")
    yield 0, None


def _cells(line: str, separator: str) -> list[str]:
    return line.split("\t") if separator == "\t" else _BETWEEN.split(line.strip(_BLANKS))


def _column(key: str, given: str | None, default: int, width: int, path: Path) -> int:
    if given is None:
        return default
    if not re.fullmatch("-?[0-9]{1,4}", given):
        raise ConfigError(
            f"data.{key} is {given!r}, but {path} has no header: give a number, 0 for the first, -1 for the last."
        )
    number = int(given)
    if not -width <= number < width:
        raise ConfigError(f"data.{key} is {given}, but {path} has {width} columns: expected {-width} to {width - 1}.")
    return number % width


def _without_position(word: str, path: Path, number: int) -> str:
    if len(word) < 2 or not ("0" <= word[-1] <= "9"):
        raise DataError(
            f"{path}, line {number}: {word[:60]!r} does not end in a digit, which this data set has after each "
            f"character. Is it another file?"
        )
    return word[:-1]


def _number_of(content: str, wanted: str) -> int:
    return next(number for number, line in _lines(content) if line == wanted)
