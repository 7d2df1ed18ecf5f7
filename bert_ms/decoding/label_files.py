"""Prediction files of tasks whose answers are labels: a table for people, lines with probabilities for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.errors import DataError
from bert_ms.files import write_files

TABLE = "predictions.tsv"
LINES = "predictions.jsonl"


def write_predictions(
    directory: str | Path,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    lines: Iterable[Mapping[str, Any]],
    further: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write predictions.tsv, predictions.jsonl and further files; all of them or none.

    Args:
        directory: is made if it is not there.
        columns: header of the table.
        rows: its cells; None is an empty one, tabs and line ends in a text become blanks.
        lines: objects, one a line; `id` and `prediction` are in each of them.
        further: text of other files by name.

    Returns:
        The files written.

    Raises:
        DataError: the directory cannot be written to.
    """
    contents: dict[str, str | bytes] = {
        TABLE: "".join("\t".join(map(_cell, row)) + "\n" for row in (columns, *rows)),
        LINES: "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
        **(further or {}),
    }
    return write_files(directory, contents, error=DataError)


def rounded(probability: float) -> float:
    """A probability as files have it: six decimals."""
    return round(float(probability), 6)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return " ".join(str(value).split())
