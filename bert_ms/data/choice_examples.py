"""Beginnings with several ends to choose from, from a table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bert_ms.config import DataConfig
from bert_ms.data.datasets import Dataset
from bert_ms.data.labelled_rows import BadRow, LabelledRows
from bert_ms.data.tables import Row
from bert_ms.errors import ConfigError, DataError
from bert_ms.records import ChoiceExample

MAX_CHOICES = 64


def read(
    path: str | os.PathLike[str],
    config: DataConfig,
    dataset: Dataset | None = None,
    *,
    with_labels: bool,
    limit: int | None = None,
) -> list[ChoiceExample]:
    """The examples of a file, in its order, all with the same number of choices.

    A choice is what stands in its column, after the text of `pair_column` where there is one (in SWAG the first words
    of every end). Of JSON lines one choice column may hold a list of all of them.

    Args:
        path: a csv, tsv or JSON lines file.
        config: format and columns. A label is the number of a choice, from 0, or its place in `config.labels`.
        dataset: whose file it is, for what the configuration does not say; None for one's own.
        with_labels: read labels; without, they are None.
        limit: read only the first so many rows.

    Raises:
        DataError: the file cannot be read, has not the columns, or has rows that cannot be used.
        ConfigError: columns are not named.
    """
    drops = config.on_bad_answer != "error" and with_labels
    rows = LabelledRows(path, config, dataset, with_labels=with_labels, drops=drops)
    columns = rows.columns
    if not columns.choices:
        raise ConfigError("data.choice_columns is not given: name the columns of the choices, for example [a, b, c].")
    examples: list[ChoiceExample] = []
    for row in rows:
        if limit is not None and len(examples) >= limit:
            break
        try:
            choices = _choices(rows, row)
            if examples and len(choices) != len(examples[0].choices):
                raise BadRow(f"it has {len(choices)} choices, the first row {len(examples[0].choices)}")
            label = None
            if with_labels:
                assert columns.label is not None
                label = _label(rows.value(row, columns.label), columns.label, config.labels, len(choices))
            examples.append(ChoiceExample(rows.id(row, len(examples)), rows.text(row, columns.text), choices, label))
        except BadRow as why:
            rows.bad(row, str(why))
    rows.report()
    if not examples:
        raise DataError(f"{path} holds no rows with choices.")
    return examples


def _choices(rows: LabelledRows, row: Row) -> tuple[str, ...]:
    columns = rows.columns
    begin = rows.text(row, columns.pair) if columns.pair is not None else ""
    first = rows.value(row, columns.choices[0])
    if len(columns.choices) == 1 and isinstance(first, list):
        if not all(isinstance(choice, str) for choice in first):
            raise BadRow(f"column '{columns.choices[0]}' holds something else than texts")
        ends: Sequence[str] = first
    else:
        ends = [rows.text(row, column) for column in columns.choices]
    if not 2 <= len(ends) <= MAX_CHOICES:
        raise BadRow(f"it has {len(ends)} choices, expected 2 to {MAX_CHOICES}")
    return tuple(f"{begin} {end}" if begin else end for end in ends)


def _label(value: Any, column: str, names: Sequence[str], choices: int) -> int:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if names and text in names:
        number = names.index(text)
    elif not names and text.isdecimal():
        number = int(text)
    else:
        expected = f"one of {', '.join(names)}" if names else f"a number from 0 to {choices - 1}"
        raise BadRow(f"column '{column}' is {str(value)[:40]!r}, expected {expected}")
    if number >= choices:
        raise BadRow(f"column '{column}' is {text!r}, but there are only {choices} choices, the first is 0")
    return number
