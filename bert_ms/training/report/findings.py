"""Findings of a task as sections of report.html: each kind has its way to be drawn, no task is known by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from bert_ms.tasks.findings import ChartFinding, ConfusionFinding, Finding, GalleryFinding, TableFinding
from bert_ms.training.report.chart import Line, line_chart
from bert_ms.training.report.elements import bar, card, cell, number_text, section, table
from bert_ms.training.report.gallery import gallery, legend
from bert_ms.training.report.matrix import matrix

_COLOURS = 6
_WIDE_LABELS = 9  # a matrix of more labels takes the whole width


def sections(findings: Sequence[Finding]) -> str:
    """All findings, in their order, those of one section under one heading."""
    return "\n".join(section(title, _section(list(some))) for title, some in groupby(findings, lambda f: f.section))


def _section(findings: Sequence[Finding]) -> str:
    """Charts and tables side by side where there is room; galleries and wide matrices below each other."""
    meanings: dict[str, str] = {}
    for finding in findings:
        if isinstance(finding, GalleryFinding):
            meanings |= finding.meanings
    html, key = "", legend(meanings)
    for place, some in groupby(findings, _place):
        drawn = "".join(_DRAWN[finding.kind](finding) for finding in some)
        if place == "gallery":
            html, key = html + key, ""  # above the first one
        html += f'<div class="grid wide">{drawn}</div>' if place == "grid" else drawn
    return html


def _place(finding: Finding) -> str:
    if isinstance(finding, GalleryFinding):
        return "gallery"
    return "wide" if isinstance(finding, ConfusionFinding) and len(finding.rows) > _WIDE_LABELS else "grid"


def _table(finding: TableFinding) -> str:
    """With a bar in a column of its own, where one is asked for."""
    place = list(finding.columns).index(finding.bar) if finding.bar else None
    rows: list[tuple[str, list[str]]] = []
    for name, *cells in finding.rows:
        shown = [cell(value) for value in cells]
        if place is not None:
            value = finding.rows[len(rows)][place]
            shown.append(bar(value if isinstance(value, int | float) else 0.0))
        rows.append((number_text(name), shown))
    head = [*finding.columns, *([""] if place is not None else [])]
    return card(finding.title, finding.note, table(head, rows), kind="groups" if place is not None else "")


def _chart(finding: ChartFinding) -> str:
    lines = [
        Line(
            each.name,
            [(float(x), float(y)) for x, y in each.points],
            1 + number % _COLOURS,
            style=each.style,
            width=each.width,
            labels=each.labels,
        )
        for number, each in enumerate(finding.series)
    ]
    return line_chart(
        lines,
        title=finding.title,
        note=finding.note,
        x_name=finding.x_name,
        y_name=finding.y_name,
        x_range=finding.x_range,
        y_range=finding.y_range,
        has_diagonal=finding.has_diagonal,
    )


def _confusion(finding: ConfusionFinding) -> str:
    return card(finding.title, finding.note, matrix(finding))


_DRAWN: dict[str, Callable[[Any], str]] = {
    TableFinding.kind: _table,
    ConfusionFinding.kind: _confusion,
    ChartFinding.kind: _chart,
    GalleryFinding.kind: gallery,
}
