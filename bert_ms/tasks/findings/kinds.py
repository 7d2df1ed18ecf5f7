"""The kinds of findings: a table, a chart, a confusion matrix, a gallery of examples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

# What a marked part of a text is: only gold, only predicted, both and the same, both but not the same.
Mark = Literal["", "gold", "predicted", "both", "wrong"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a report shows.

    Attributes:
        title: its heading.
        note: a sentence that says how to read it; may be empty.
        section: heading that it stands under, together with its neighbours of the same section.
    """

    kind: ClassVar[str] = ""
    title: str
    note: str = ""
    section: str = "Findings"


Row = list[str | float]


@dataclass(frozen=True, kw_only=True)
class TableFinding(Finding):
    """A table; the first column names the row.

    Attributes:
        columns: heads.
        rows: as many cells each; whole numbers are counts, others are shown with one decimal.
        bar: the column, of percentages, that is drawn as a bar as well; empty for none.
        is_in_card: the model card shows it too.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float]]
    bar: str = ""
    is_in_card: bool = False


@dataclass(frozen=True, kw_only=True)
class ConfusionFinding(Finding):
    """How often each label was taken for each.

    Attributes:
        rows: the gold labels; the last may stand for "there is none".
        columns: the predicted labels, in the same order; the last may stand for "none was found".
        counts: row gold, column predicted; None where nothing can be counted.
    """

    kind: ClassVar[str] = "confusion"
    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int | None]]


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points of a chart that belong together.

    Attributes:
        name: for the legend; empty for one that needs none.
        points: (x, y), by rising x.
        style: how they are drawn; bars stand on 0 with x in their middle.
        width: of bars, in units of x.
        labels: of the points, in the same order, to be read beside bars; empty for none.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: Literal["line", "dots", "bars"] = "line"
    width: float = 0.0
    labels: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ChartFinding(Finding):
    """Lines, dots or bars over two axes.

    Attributes:
        series: what is drawn, the last on top.
        x_name: below the horizontal axis.
        y_name: beside the vertical axis.
        x_range: first and last value of the horizontal axis; None takes what the points need.
        y_range: the same for the vertical axis.
        has_diagonal: draw the line on which x equals y.
    """

    kind: ClassVar[str] = "chart"
    series: Sequence[Series]
    x_name: str
    y_name: str
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None
    has_diagonal: bool = False


@dataclass(frozen=True)
class Part:
    """A piece of a text.

    Attributes:
        text: as it stands in the original.
        mark: what the piece is; empty for plain text.
        label: stands beside the piece, for example the kind of an entity.
    """

    text: str
    mark: Mark = ""
    label: str = ""


@dataclass(frozen=True)
class Share:
    """The probability of one label or choice, 0 to 1, and whether it is the gold or the predicted one."""

    name: str
    probability: float
    mark: Mark = ""


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One example.

    Attributes:
        origin: a small line above it, for example the article's title.
        heading: a line that stands out, for example the question.
        passages: texts, each in parts.
        shares: probabilities to draw.
        facts: (name, value) to list below.
        badges: short facts.
    """

    origin: str = ""
    heading: str = ""
    passages: Sequence[Sequence[Part]] = ()
    shares: Sequence[Share] = ()
    facts: Sequence[tuple[str, str]] = ()
    badges: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class GalleryFinding(Finding):
    """A few examples that went the same way.

    Attributes:
        exhibits: those to be shown.
        count: how many there are in all.
        meanings: what each mark in the texts says.
    """

    kind: ClassVar[str] = "gallery"
    exhibits: Sequence[Exhibit]
    count: int
    meanings: Mapping[str, str] = field(default_factory=dict)


def as_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as plain values for a JSON file; numbers that are none become null."""
    return [_plain({"kind": finding.kind, **asdict(finding)}) for finding in findings]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value
