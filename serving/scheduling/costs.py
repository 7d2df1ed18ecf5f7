"""How long batches take, by shape: seen at warm-up, then followed while serving."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from ..engine.shapes import Shape

_FOLLOW = 0.1  # weight of the newest batch in the running mean
_REMEMBERED = 512
_WATCHDOG_TIMES = 20


class Costs:
    """Seconds of each shape that may run.

    Args:
        seconds: by (rows, tokens); every length has a shape of one row.
    """

    def __init__(self, seconds: Mapping[Shape, float]):
        self._seconds = {shape: max(value, 1e-6) for shape, value in seconds.items()}
        self._rows: dict[int, list[int]] = {}
        for rows, length in sorted(self._seconds):
            self._rows.setdefault(length, []).append(rows)
        self.lengths = sorted(self._rows)
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)

    def length_for(self, count: int) -> int:
        """The shortest length that holds a row of so many tokens."""
        return next(length for length in self.lengths if count <= length)

    def rows_for(self, length: int, waiting: int) -> int:
        """Rows of the shape that serves this many waiting rows at the least time a row; the larger of equals."""
        return min(self._rows[length], key=lambda rows: (self._seconds[(rows, length)] / min(rows, waiting), -rows))

    def per_row(self, length: int) -> float:
        """Seconds that a row of a length takes in the best company."""
        return min(self._seconds[(rows, length)] / rows for rows in self._rows[length])

    def saw(self, shape: Shape, seconds: float) -> None:
        """Follow what a batch took."""
        self._latest.append(seconds)
        self._seconds[shape] += _FOLLOW * (max(seconds, 1e-6) - self._seconds[shape])

    def patience(self, floor: float) -> float:
        """Seconds of silence after which an engine is taken for dead: 20 times the 99th percentile of its batches."""
        if not self._latest:
            return max(floor, _WATCHDOG_TIMES * max(self._seconds.values()))
        return max(floor, _WATCHDOG_TIMES * float(np.percentile(self._latest, 99)))
