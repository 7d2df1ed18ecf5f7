"""Texts, or pairs of them, with their labels, from a table."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from typing import Any

from bert_ms.config import DataConfig
from bert_ms.data.datasets import Dataset
from bert_ms.data.labelled_rows import BadRow, LabelledRows
from bert_ms.errors import DataError
from bert_ms.records import TextExample

SINGLE, MULTIPLE, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
Label = str | tuple[str, ...] | float
# So many labels are looked at to find out what they are.
_LOOKED_AT = 1000
_MANY = 12


def read(
    path: str | os.PathLike[str],
    config: DataConfig,
    dataset: Dataset | None = None,
    *,
    problem_type: str = SINGLE,
    with_labels: bool,
    labels: Sequence[str] = (),
    limit: int | None = None,
    is_training: bool = False,
) -> list[TextExample]:
    """The texts of a file, in its order.

    Args:
        path: a csv, tsv or JSON lines file.
        config: format and columns.
        dataset: whose file it is, for what the configuration does not say; None for one's own.
        problem_type: what the labels are, by Hugging Face's names.
        with_labels: read labels; without, they are None.
        labels: those that may occur; empty allows any.
        limit: read only the first so many rows.
        is_training: an empty text is an error, too.

    Raises:
        DataError: the file cannot be read, has not the columns, or has rows that cannot be used (all are counted, the
            first are named; with `on_bad_answer` "drop" or "fix" they are left out where there are labels).
        ConfigError: columns are not named.
    """
    rows = _open(path, config, dataset, with_labels=with_labels)
    columns, known = rows.columns, frozenset(labels)
    aliases = dict(dataset.aliases) if dataset is not None else {}
    examples: list[TextExample] = []
    for row in rows:
        if limit is not None and len(examples) >= limit:
            break
        try:
            label = None
            if with_labels:
                assert columns.label is not None
                label = _label(rows.value(row, columns.label), columns.label, problem_type, config, aliases)
                _check_known(label, known, labels)
            text = rows.text(row, columns.text)
            pair = None if columns.pair is None else rows.text(row, columns.pair)
            if is_training and not (text.strip() or (pair or "").strip()):
                raise BadRow("its text is empty")
            examples.append(TextExample(rows.id(row, len(examples)), text, pair, label))
        except BadRow as why:
            rows.bad(row, str(why))
    rows.report()
    if not examples:
        raise DataError(f"{path} holds no rows with texts.")
    return examples


def guess_problem_type(path: str | os.PathLike[str], config: DataConfig, dataset: Dataset | None = None) -> str:
    """What the labels of a file are, by the first of them: lists, numbers with a fraction among them, or names.

    Raises:
        DataError: the file cannot be read, or has not the columns.
        ConfigError: columns are not named.
    """
    rows = _open(path, config, dataset, with_labels=True)
    assert rows.columns.label is not None
    found = []
    for row in itertools.islice(rows, _LOOKED_AT):
        try:
            found.append(rows.value(row, rows.columns.label))
        except BadRow:  # told when all are read
            continue
    if any(isinstance(value, list) for value in found):
        return MULTIPLE
    numbers = [_number(value) for value in found]
    if found and all(number is not None for number in numbers) and any(n % 1 for n in numbers if n is not None):
        return REGRESSION
    return SINGLE


def found_labels(examples: Sequence[TextExample]) -> tuple[str, ...]:
    """The labels that occur, sorted; whole numbers by their value."""
    found: set[str] = set()
    for example in examples:
        if isinstance(example.label, tuple):
            found.update(example.label)
        elif isinstance(example.label, str):
            found.add(example.label)
    if all(label.isdecimal() for label in found):
        return tuple(sorted(found, key=lambda label: (int(label), label)))
    return tuple(sorted(found))


def _open(
    path: str | os.PathLike[str], config: DataConfig, dataset: Dataset | None, *, with_labels: bool
) -> LabelledRows:
    drops = config.on_bad_answer != "error" or (dataset is not None and dataset.has_bad_rows)
    return LabelledRows(path, config, dataset, with_labels=with_labels, drops=drops and with_labels)


def _label(value: Any, column: str, problem_type: str, config: DataConfig, aliases: dict[str, str]) -> Label:
    if problem_type == REGRESSION:
        number = _number(value)
        if number is None:
            raise BadRow(f"column '{column}' is {str(value)[:40]!r}, expected a number")
        return number
    if problem_type == MULTIPLE:
        if isinstance(value, list):
            parts = value
        else:
            text = _name(value, column, may_be_empty=True)
            parts = text.split(config.label_separator) if config.label_separator else [text]
        names = [_name(part, column, may_be_empty=True) for part in parts]
        return tuple(dict.fromkeys(aliases.get(name, name) for name in names if name))
    name = _name(value, column)
    return aliases.get(name, name)


def _name(value: Any, column: str, *, may_be_empty: bool = False) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        if may_be_empty:
            return ""
        raise BadRow(f"column '{column}' is empty, expected a label")
    if not isinstance(value, str):
        raise BadRow(f"column '{column}' is {str(value)[:40]}, expected a label")
    return value.strip()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _check_known(label: Label, known: frozenset[str], labels: Sequence[str]) -> None:
    if not known or isinstance(label, float):
        return
    for name in label if isinstance(label, tuple) else (label,):
        if name not in known:
            more = f", ... ({len(labels)} in all)" if len(labels) > _MANY else ""
            raise BadRow(f"label {name[:60]!r} is not known: labels are {', '.join(labels[:_MANY])}{more}")
