"""Line charts as inline SVG that take their colours from the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from bert_ms.training.curves import Points

_WIDTH, _HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 38


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: for the legend; empty for a line that needs none.
        points: (x, y), by rising x.
        colour: number of the page's palette, from 1.
        is_faint: thin and pale, as the ground of another line.
        has_dots: mark every point, with its value to be read on pointing at it.
    """

    name: str
    points: Points
    colour: int = 1
    is_faint: bool = False
    has_dots: bool = False


def line_chart(lines: Sequence[Line], *, title: str, x_name: str, from_zero: bool = False) -> str:
    """A chart with its title, legend, axes and a sentence for screen readers, as HTML.

    Args:
        lines: at least one with a point, or a sentence says that there is nothing to show.
        title: what is shown.
        x_name: below the horizontal axis.
        from_zero: the vertical axis begins at 0.
    """
    lines = [line for line in lines if line.points]
    if not lines:
        caption = f"<figcaption>{escape(title)}</figcaption>"
        return f'<figure class="chart">{caption}<p class="quiet">Nothing was logged.</p></figure>'
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    x_axis = _Axis.covering(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis.covering(min(0.0, *ys) if from_zero else min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP)
    body = [*_grid(x_axis, y_axis), *(_drawn(line, x_axis, y_axis) for line in lines)]
    legend = "".join(
        f'<span class="key c{line.colour}{" faint" if line.is_faint else ""}"><i></i>{escape(line.name)}</span>'
        for line in lines
        if line.name
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}<span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(_sentence(title, lines))}">'
        f'{"".join(body)}<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">'
        f"{escape(x_name)}</text></svg></figure>"
    )


@dataclass(frozen=True)
class _Axis:
    """From values to pixels, with round numbers to mark."""

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def covering(cls, low: float, high: float, begin: float, end: float) -> _Axis:
        if high <= low:
            low, high = (low - 1, high + 1) if low else (0.0, 1.0)
        step = _round_step((high - low) / 4)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        is_horizontal = begin < end
        inside = [n * step for n in range(first, last + 1)]
        if is_horizontal:  # ends with the data; the vertical axis ends with a round number
            return cls(low, high, begin, end, tuple(t for t in inside if low <= t <= high))
        return cls(first * step, last * step, begin, end, tuple(inside))

    def at(self, value: float) -> float:
        return round(self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin), 1)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _grid(x_axis: _Axis, y_axis: _Axis) -> list[str]:
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 7}" y="{y + 4}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_axis.ticks:
        x = x_axis.at(tick)
        parts.append(
            f'<text class="tick" x="{x}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{_number(tick)}</text>'
        )
    return parts


def _drawn(line: Line, x_axis: _Axis, y_axis: _Axis) -> str:
    places = [(x_axis.at(x), y_axis.at(y)) for x, y in line.points]
    path = " ".join(f"{x:g},{y:g}" for x, y in places)
    drawn = f'<polyline class="line c{line.colour}{" faint" if line.is_faint else ""}" points="{path}"/>'
    if line.has_dots or len(places) == 1:
        drawn += "".join(
            f'<circle class="dot c{line.colour}" cx="{px:g}" cy="{py:g}" r="4">'
            f"<title>{escape(line.name)} {y:.4g} at {x:g}</title></circle>"
            for (px, py), (x, y) in zip(places, line.points, strict=True)
        )
    return drawn


def _sentence(title: str, lines: Sequence[Line]) -> str:
    told = "; ".join(
        f"{line.name or title} from {line.points[0][1]:.4g} to {line.points[-1][1]:.4g}"
        for line in lines
        if not line.is_faint
    )
    return f"{title}: {told}."


def _number(value: float) -> str:
    """Short, for a tick.

    >>> _number(0.0), _number(2500.0), _number(25000.0), _number(1e-4), _number(0.30000000000000004)
    ('0', '2500', '25k', '1e-4', '0.3')
    """
    if value == 0:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    if abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"
