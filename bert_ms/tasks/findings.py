"""What a task has to show of its predictions, as plain data that a report can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One section of the report.

    Attributes:
        title: its heading.
        note: a sentence that says how to read it; may be empty.
    """

    title: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TableFinding(Finding):
    """A table; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
