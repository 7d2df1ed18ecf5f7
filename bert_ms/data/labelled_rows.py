"""The rows of a table with named columns: which column is which, and every row that cannot be used named."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.config import DataConfig
from bert_ms.data import tables
from bert_ms.data.datasets import Columns, Dataset
from bert_ms.data.tables import Row
from bert_ms.errors import ConfigError, DataError

logger = logging.getLogger(__name__)

MAX_TEXT = 1_000_000
_SHOWN = 3


class BadRow(Exception):
    """Why a row cannot be used, as a clause: "column 'label' is empty"."""


class LabelledRows:
    """Rows of one file, by column.

    Args:
        path: the file.
        config: format and columns, which go before those of the data set.
        dataset: whose file it is; None for one's own.
        with_labels: the label is needed; without, it is not looked at.
        drops: rows that cannot be used are left out; otherwise they are an error, told by `report`.

    Attributes:
        columns: those of this kind of file.

    Raises:
        DataError: the file cannot be read, or has not the columns.
        ConfigError: columns are not named, or are named where they have only numbers.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: DataConfig,
        dataset: Dataset | None,
        *,
        with_labels: bool,
        drops: bool = False,
    ):
        self.path, self.with_labels, self.drops = Path(path), with_labels, drops
        given = config.format if config.format != "auto" or dataset is None else dataset.format
        self.is_json = tables.format_of(self.path, given) == "jsonl"
        self._needs_id = config.id_column is not None
        self._bad: list[str] = []
        self._bad_count = 0
        self._ids: dict[str, int] = {}
        rows = tables.rows_of(self.path, tables.format_of(self.path, given))
        first = next(rows, None)
        if first is None:
            raise DataError(f"{self.path} holds no rows.")
        if first.problem is not None:
            raise DataError(f"{self.path}: line {first.line}: {first.problem}.")
        self.columns = self._matching(_layouts(config, dataset), first)
        if self.is_json or not self.columns.has_header:
            rows = itertools.chain([first], rows)
            self._names: tuple[str, ...] | None = None
        else:
            self._names = tuple(_cells(first))
        self._width = 0 if self.is_json else len(first.values)
        self._rows = rows

    def __iter__(self) -> Iterator[Row]:
        """Rows that can be read and that count."""
        only = self.columns.only
        for row in self._rows:
            problem = row.problem
            if problem is None and not self.is_json and len(row.values) != self._width:
                problem = f"it has {len(row.values)} columns, expected {self._width}"
            if problem is not None:
                self.bad(row, problem)
            elif only is None or self._value(row, only[0]) == only[1]:
                yield row

    def text(self, row: Row, column: str) -> str:
        """The text in a column.

        Raises:
            BadRow: it is missing, no text, or too long.
        """
        value = self._value(row, column)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
            raise BadRow(f"column '{column}' is {str(value)[:40]}, expected text")
        if len(value) > MAX_TEXT:
            raise BadRow(f"column '{column}' has {len(value):,} characters, expected at most {MAX_TEXT:,}")
        if self.is_json and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise BadRow(f"column '{column}' is no valid Unicode: it holds half a surrogate pair")
        return value

    def value(self, row: Row, column: str) -> Any:
        """What stands in a column: text, or any JSON value.

        Raises:
            BadRow: the key is missing.
        """
        return self._value(row, column)

    def id(self, row: Row, number: int) -> str:
        """What names a row: its own id, or its number.

        Raises:
            BadRow: another row has the same.
        """
        if self.columns.id is None:
            return str(number)
        id_ = self.text(row, self.columns.id)
        if id_ in self._ids:
            raise BadRow(f"column '{self.columns.id}' is {id_!r}, as in line {self._ids[id_]}: it must be unique")
        self._ids[id_] = row.line
        return id_

    def bad(self, row: Row, why: str) -> None:
        """Note a row that cannot be used."""
        self._bad_count += 1
        if self._bad_count <= _SHOWN:
            self._bad.append(f"line {row.line}: {why}")

    def report(self) -> None:
        """Say which rows cannot be used.

        Raises:
            DataError: there are some, and they are not to be left out.
        """
        count = self._bad_count
        if not count:
            return
        more = f"\n  and {count - _SHOWN:,} more" if count > _SHOWN else ""
        listed = "\n".join(f"  - {line}" for line in self._bad)
        text = f"{self.path}: {count:,} {'rows' if count > 1 else 'row'} cannot be used:\n{listed}{more}"
        if not self.drops:
            raise DataError(f"{text}\nCorrect the file, or leave such rows out with data.on_bad_answer=drop.")
        logger.warning("%s\nLeft out.", text)

    def _value(self, row: Row, column: str) -> Any:
        if self.is_json:
            assert isinstance(row.values, Mapping)
            if column not in row.values:
                raise BadRow(f"key '{column}' is missing")
            return row.values[column]
        return _cells(row)[self._place(column)]

    def _place(self, column: str) -> int:
        if self._names is not None and column in self._names:
            return self._names.index(column)
        return int(column)

    def _matching(self, layouts: Sequence[Columns], first: Row) -> Columns:
        """The first layout whose columns the file has, without an id where it has none."""
        lacking = [self._lacking(layout, first) for layout in layouts]
        for layout, missing in zip(layouts, lacking, strict=True):
            if layout.id is not None and missing == [layout.id] and not self._needs_id:
                return dataclasses.replace(layout, id=None)
            if not missing:
                return layout
        named = [layout for layout in layouts if layout.has_header] or list(layouts)
        missing = min((self._lacking(layout, first) for layout in named), key=len)
        has = ", ".join(map(repr, first.values)) if named[0].has_header or self.is_json else f"{len(first.values)}"
        if "" in missing:
            raise ConfigError(f"data.text_column is not given: which of the columns of {self.path} ({has[:300]})?")
        if None in missing:
            raise ConfigError(f"data.label_column is not given: which of the columns of {self.path} ({has[:300]})?")
        wanted = ", ".join(repr(name) for name in missing)
        hint = "" if named[0].has_header else " Without a header (data.has_header=false) columns are numbers from 0."
        if missing == [named[0].label]:
            hint += " `bert-ms predict` needs no labels."
        raise DataError(f"{self.path} has no column {wanted}. It has: {has[:300]}.{hint}")

    def _lacking(self, layout: Columns, first: Row) -> list[str | None]:
        needed = [layout.text, layout.pair, *layout.choices, layout.only[0] if layout.only else None, layout.id]
        wanted: list[str | None] = [name for name in needed if name is not None]
        if self.with_labels:
            wanted.append(layout.label)
        return [name for name in wanted if not self._has(layout, first, name)]

    def _has(self, layout: Columns, first: Row, column: str | None) -> bool:
        if not column:
            return False
        is_number = column.isdecimal() and int(column) < len(first.values)
        if self.is_json:
            return column in first.values
        return is_number or (layout.has_header and column in first.values)


def _layouts(config: DataConfig, dataset: Dataset | None) -> tuple[Columns, ...]:
    """The layouts of a data set, changed by what the configuration says itself; of one's own file, that alone."""
    own: dict[str, Any] = {
        "text": config.text_column,
        "pair": config.pair_column,
        "label": config.label_column,
        "id": config.id_column,
        "choices": config.choice_columns or None,
    }
    said = {name: value for name, value in own.items() if value is not None}
    if dataset is not None:
        return tuple(dataclasses.replace(layout, **said) for layout in dataset.layouts)
    return (Columns(**{"text": "", **said}, has_header=config.has_header),)


def _cells(row: Row) -> Sequence[str]:
    assert not isinstance(row.values, Mapping)
    return row.values
