"""Charts of lines, dots and bars as inline SVG that take their colours from the page, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from bert_ms.training.curves import Points
from bert_ms.training.report.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, grid

Range = tuple[float, float]

_HEAD = 16  # room above the frame for the name of the vertical axis


@dataclass(frozen=True)
class Line:
    """Points of a chart that belong together.

    Attributes:
        name: for the legend; empty for those that need none.
        points: (x, y), by rising x.
        colour: number of the page's palette, from 1.
        is_faint: thin and pale, as the ground of another line.
        has_dots: mark every point, with its value to be read on pointing at it.
        style: drawn as a line; as dots alone; as bars from 0, with x in their middle.
        width: of bars, in units of x.
        labels: above the bars; empty for none.
    """

    name: str
    points: Points
    colour: int = 1
    is_faint: bool = False
    has_dots: bool = False
    style: Literal["line", "dots", "bars"] = "line"
    width: float = 0.0
    labels: Sequence[str] = ()


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_name: str,
    y_name: str = "",
    note: str = "",
    from_zero: bool = False,
    x_range: Range | None = None,
    y_range: Range | None = None,
    has_diagonal: bool = False,
) -> str:
    """A chart with its title, legend, axes and a sentence for screen readers, as HTML.

    Args:
        lines: at least one with a point, or a sentence says that there is nothing to show.
        title: what is shown.
        x_name: below the horizontal axis.
        y_name: above the vertical axis.
        note: a sentence below the title.
        from_zero: the vertical axis begins at 0.
        x_range: first and last value of the horizontal axis; None takes what the points need.
        y_range: the same for the vertical axis.
        has_diagonal: draw the line on which x equals y.
    """
    lines = [line for line in lines if line.points]
    below = f'<p class="quiet">{escape(note)}</p>' if note else ""
    if not lines:
        caption = f"<figcaption>{escape(title)}</figcaption>"
        return f'<figure class="chart">{caption}{below}<p class="quiet">Nothing was logged.</p></figure>'
    x_axis, y_axis = _axes(lines, x_range, y_range, from_zero=from_zero)
    body = grid(x_axis, y_axis)
    body += [_drawn(line, x_axis, y_axis) for line in lines if line.style == "bars"]
    body += [_diagonal(x_axis, y_axis)] if has_diagonal else []
    body += [_drawn(line, x_axis, y_axis) for line in lines if line.style != "bars"]
    body += [_labels(line, x_axis, y_axis) for line in lines if line.labels]
    legend = "".join(
        f'<span class="key c{line.colour}{" faint" if line.is_faint else ""}"><i></i>{escape(line.name)}</span>'
        for line in lines
        if line.name
    )
    side = f'<text class="axis" x="2" y="-4">{escape(y_name)}</text>' if y_name else ""
    head = _HEAD if y_name else 0
    return (
        f'<figure class="chart"><figcaption>{escape(title)}<span class="legend">{legend}</span></figcaption>{below}'
        f'<svg viewBox="0 {-head} {WIDTH} {HEIGHT + head}" role="img" '
        f'aria-label="{escape(_sentence(title, lines))}">{"".join(body)}{side}'
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_name)}</text></svg></figure>"
    )


def _axes(
    lines: Sequence[Line], x_range: Range | None, y_range: Range | None, *, from_zero: bool
) -> tuple[Axis, Axis]:
    """Axes that hold every point, and every bar whole."""
    if x_range is None:
        lows = [x - line.width / 2 for line in lines for x, _ in line.points]
        highs = [x + line.width / 2 for line in lines for x, _ in line.points]
        x_range = (min(lows), max(highs))
    if y_range is None:
        ys = [y for line in lines for _, y in line.points]
        from_zero = from_zero or any(line.style == "bars" for line in lines)
        y_range = (min(0.0, *ys) if from_zero else min(ys), max(ys))
    return Axis.covering(*x_range, LEFT, WIDTH - RIGHT), Axis.covering(*y_range, HEIGHT - BOTTOM, TOP)


def _drawn(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    if line.style == "bars":
        return _bars(line, x_axis, y_axis)
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in line.points]
    if line.style == "dots":
        return "".join(f'<circle class="spot c{line.colour}" cx="{x:g}" cy="{y:g}" r="3"/>' for x, y in places)
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    drawn = f'<polyline class="line c{line.colour}{" faint" if line.is_faint else ""}" points="{path}"/>'
    if line.has_dots or len(places) == 1:
        drawn += "".join(
            f'<circle class="dot c{line.colour}" cx="{px:g}" cy="{py:g}" r="4">'
            f"<title>{escape(line.name)} {y:.4g} at {x:g}</title></circle>"
            for (px, py), (x, y) in zip(places, line.points, strict=True)
        )
    return drawn


def _bars(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    parts = []
    ground = y_axis.at(max(0.0, y_axis.low))
    for at, (x, y) in enumerate(line.points):
        left, right, top = x_axis.at(x - line.width / 2), x_axis.at(x + line.width / 2), y_axis.at(y)
        told = f"{line.labels[at]}: " if line.labels else ""
        parts.append(
            f'<rect class="column c{line.colour}" x="{left + 1:g}" y="{min(top, ground):g}" '
            f'width="{max(right - left - 2, 1):g}" height="{abs(ground - top):g}">'
            f"<title>{escape(told)}{y:.4g} at {x:.4g}</title></rect>"
        )
    return "".join(parts)


def _labels(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    return "".join(
        f'<text class="tick small" x="{x_axis.at(x):g}" y="{y_axis.at(y) - 4:g}" text-anchor="middle">'
        f"{escape(label)}</text>"
        for (x, y), label in zip(line.points, line.labels, strict=True)
    )


def _diagonal(x_axis: Axis, y_axis: Axis) -> str:
    low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
    if high <= low:
        return ""
    ends = f'x1="{x_axis.at(low)}" y1="{y_axis.at(low)}" x2="{x_axis.at(high)}" y2="{y_axis.at(high)}"'
    return f'<line class="diagonal" {ends}/>'


def _sentence(title: str, lines: Sequence[Line]) -> str:
    """What the chart shows, for those who do not see it."""
    told = []
    for line in lines:
        name = line.name or title
        if line.style == "dots":
            told.append(f"{len(line.points):,} points")
        elif line.style == "bars":
            values = ", ".join(f"{y:.3g} at {x:.3g}" for x, y in line.points)
            told.append(f"{name}: {values}")
        elif not line.is_faint:
            told.append(f"{name} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}")
    return f"{title}: {'; '.join(told)}."
