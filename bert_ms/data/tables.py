"""Rows of csv, tsv and JSON lines files, each with the line that it stands on."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_ms.data.text_files import parse_json, read_text
from bert_ms.errors import DataError, unknown

FORMATS = ("csv", "tsv", "jsonl")
_DELIMITERS = (",", "\t", ";")
_OF_ENDING = {".csv": "csv", ".tsv": "tsv", ".txt": "tsv", ".json": "jsonl", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class Row(NamedTuple):
    """One row of a file.

    Attributes:
        line: where it ends, from 1; of a JSON list, the number of the object.
        values: cells in order, or values by key.
        problem: why it cannot be read; None where it can.
    """

    line: int
    values: Sequence[str] | Mapping[str, Any]
    problem: str | None = None


def format_of(path: Path, given: str = "auto") -> str:
    """The format of a table: as given, or by the ending of its name.

    Raises:
        DataError: the ending tells nothing, or the format is none of tables.
    """
    if given != "auto":
        if given not in FORMATS:
            raise DataError(f"{path}: format {given} is none of tables: expected one of {', '.join(FORMATS)}.")
        return given
    endings = path.suffix.lower()
    if endings not in _OF_ENDING:
        raise DataError(
            f"{path}: its ending '{path.suffix}' does not tell the format: say data.format=csv, tsv or jsonl "
            f"(known endings: {', '.join(_OF_ENDING)})."
        )
    return _OF_ENDING[endings]


def rows_of(path: Path, format: str) -> Iterator[Row]:
    """The rows of a file, a header among them; empty lines are no rows.

    Args:
        path: the file, UTF-8 with or without byte order mark.
        format: "tsv" has no quoting: every tab separates, a quotation mark is one (GLUE's files are written so);
            "csv" quotes as RFC 4180 does, and separates by the first of comma, tab and semicolon that its first line
            has; "jsonl" is an object a line, or one list of objects.

    Raises:
        DataError: the file cannot be read as text; of csv, quotation marks that do not match.
    """
    if format not in FORMATS:
        raise DataError(unknown("format of a table", format, FORMATS))
    content = read_text(path, kind="a table", endings=tuple(_OF_ENDING))
    return {"tsv": _tsv, "csv": _csv, "jsonl": _json}[format](content, path)


def _tsv(content: str, path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(content), start=1):
        if line:
            yield Row(number, line.split("\t"))


def _csv(content: str, path: Path) -> Iterator[Row]:
    first = content.lstrip("\r\n").partition("\n")[0]
    delimiter = next((mark for mark in _DELIMITERS if mark in first), ",")
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"{path}: line {reader.line_num} is not csv: {error}. A text with quotation marks or {delimiter!r} "
                f'stands in quotation marks, those inside doubled (""). Without any quoting, use tabs, and say '
                f"data.format=tsv."
            ) from None
        if cells:
            yield Row(reader.line_num, cells)


def _json(content: str, path: Path) -> Iterator[Row]:
    if content.lstrip()[:1] == "[":
        values = parse_json(content, str(path))
        for number, value in enumerate(values, start=1):
            yield _object(number, value)
        return
    for number, line in enumerate(_lines(content), start=1):
        if not line.strip():
            continue
        try:
            value = parse_json(line, "it")
        except DataError as error:
            yield Row(number, {}, str(error).rstrip("."))
        else:
            yield _object(number, value)


def _object(number: int, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, {}, f"it is {str(value)[:40]!r}, expected an object such as {{\"text\": \"...\"}}")


def _lines(content: str) -> Iterator[str]:
    """Lines without their ends. Only line feeds end them: a text may hold other characters that Python splits at."""
    begin = 0
    for end in itertools.chain(_places(content), [len(content)]):
        yield content[begin:end].removesuffix("\r")
        begin = end + 1


def _places(content: str) -> Iterator[int]:
    at = content.find("\n")
    while at >= 0:
        yield at
        at = content.find("\n", at + 1)
