"""Axes of a chart: from values to pixels, with round numbers to mark."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 22, 14, 40


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        low: value at `begin`.
        high: value at `end`.
        begin: pixel.
        end: pixel; above `begin` for a horizontal axis, below it for a vertical one.
        ticks: values to mark.
    """

    low: float
    high: float
    begin: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def covering(cls, low: float, high: float, begin: float, end: float) -> Axis:
        """For values from `low` to `high`: a horizontal axis ends with them, a vertical one with round numbers."""
        if high <= low:
            low, high = (low - 1, high + 1) if low else (0.0, 1.0)
        step = _round_step((high - low) / 5)
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        inside = [n * step for n in range(first, last + 1)]
        if begin < end:
            margin = 1e-9 * (high - low)
            return cls(low, high, begin, end, tuple(t for t in inside if low - margin <= t <= high + margin))
        return cls(first * step, last * step, begin, end, tuple(inside))

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return round(self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin), 1)


def grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    """Rules and numbers, as SVG."""
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4}" text-anchor="end">{number(tick)}</text>')
    for tick in x_axis.ticks:
        x, y = x_axis.at(tick), HEIGHT - BOTTOM + 16
        parts.append(f'<text class="tick" x="{x}" y="{y}" text-anchor="middle">{number(tick)}</text>')
    return parts


def number(value: float) -> str:
    """Short, for a tick.

    >>> number(0.0), number(2500.0), number(25000.0), number(1e-4), number(0.30000000000000004)
    ('0', '2500', '25k', '1e-4', '0.3')
    """
    if abs(value) < 1e-12:
        return "0"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    if abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.6g}"


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten, not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
