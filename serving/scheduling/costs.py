"""How long batches take, by shape: seen at warm-up, then followed while serving."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from ..engine.shapes import Shape

_FOLLOW = 0.1  # how far a batch moves what is thought of its own shape,
_DRIFT = 0.01  # and of the others: the whole machine may be slower than at warm-up
_REMEMBERED = 512
_WATCHDOG_TIMES = 20


class Costs:
    """Seconds of each shape that may run.

    Args:
        seconds: by (rows, tokens); every length has a shape of one row.

    Attributes:
        lengths: that rows are padded to, ascending.
        warmed: seconds of each shape at warm-up.
    """

    def __init__(self, seconds: Mapping[Shape, float]):
        self._rows: dict[int, list[int]] = {}
        for rows, length in sorted(seconds):
            self._rows.setdefault(length, []).append(rows)
        self.lengths = sorted(self._rows)
        # What was seen at warm-up may be a hiccup: no batch is thought to take longer than its rows alone.
        self.warmed = {
            (rows, length): max(min(value, rows * seconds[(1, length)]), 1e-6)
            for (rows, length), value in seconds.items()
        }
        self._ratio = dict.fromkeys(self.warmed, 1.0)  # of what is seen now to what was seen then
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)

    def seconds(self, shape: Shape) -> float:
        """Of a batch."""
        return self.warmed[shape] * self._ratio[shape]

    def length_for(self, count: int) -> int:
        """The shortest length that holds a row of so many tokens."""
        return next(length for length in self.lengths if count <= length)

    def rows_for(self, length: int, waiting: int) -> int:
        """Rows of the shape that serves this many waiting rows at the least time a row; the larger of equals."""
        return min(self._rows[length], key=lambda rows: (self.seconds((rows, length)) / min(rows, waiting), -rows))

    def per_row(self, length: int) -> float:
        """Seconds that a row of a length takes in the best company."""
        return min(self.seconds((rows, length)) / rows for rows in self._rows[length])

    def saw(self, shape: Shape, seconds: float) -> None:
        """Follow what a batch took."""
        self._latest.append(seconds)
        seen = max(seconds, 1e-6) / self.warmed[shape]
        for other, ratio in self._ratio.items():
            self._ratio[other] = ratio + (_FOLLOW if other == shape else _DRIFT) * (seen - ratio)

    def patience(self, floor: float) -> float:
        """Seconds of silence after which an engine is taken for dead: 20 times the 99th percentile of its batches."""
        seen = float(np.percentile(list(self._latest), 99)) if self._latest else max(self.warmed.values())
        return max(floor, _WATCHDOG_TIMES * seen)
