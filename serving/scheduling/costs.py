"""How long batches take, and which shape serves what waits at the least time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from ..engine.shapes import Shape

# How far a batch moves what is thought of the machine: as in the mean of the few that were seen, no less later on.
_FOLLOW = 0.05
# One batch that took twice as long as was thought, or longer, is a hiccup, and moves it no further than that.
_MOST_WRONG = math.log(2)
# A shape that serves so much of what the best one does in the same time is as good.
_AS_GOOD = 0.97
_REMEMBERED = 512
_OFTEN = 16  # batches between two looks at how long the slowest ones take
_WATCHDOG_TIMES = 20
_LEAST = 1e-6
_STEP = 8  # tokens that batches of any shape are padded to a multiple of
# Fitting: so often, each time with less regard to what is off by more than this.
_ROUNDS, _OFF = 12, 0.1


class Costs:
    """Seconds of batches.

    A batch takes what every batch takes, its tokens, and what each of them takes for each of its row (attention):
    `a + b * rows * length + c * rows * length**2`. The three are fitted to the warm-up. While serving, every batch
    corrects one factor of all, for the machine may be slower than it was, and what lies around the engine's own time;
    so shapes that do not run stay in proportion to those that do.

    Args:
        seconds: by (rows, tokens), at warm-up; the longest has a shape of one row.
        takes_any_shape: whether batches may be smaller than a shape, without a row or a token to fill it.

    Attributes:
        lengths: that rows are padded to at most, ascending.
        warmed: seconds of each shape at warm-up.
    """

    def __init__(self, seconds: Mapping[Shape, float], *, takes_any_shape: bool = False):
        self.takes_any_shape = takes_any_shape
        self.lengths = sorted({length for _, length in seconds})
        self.warmed = {shape: max(value, _LEAST) for shape, value in seconds.items()}
        self._parts = _fitted(self.warmed)
        self._slower = 0.0  # logarithm
        self._around = 0.0  # seconds
        self._seen = 1  # warm-up
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)
        # What is asked for many times until a batch moves it.
        self._per_row: dict[int, float] = {}
        self._usual: float | None = None  # the 99th percentile

    def seconds(self, shape: Shape) -> float:
        """Of a batch, from when it is sent until it is back."""
        return self._around + self._engine_seconds(shape)

    def trimmed(self, shape: Shape, rows: int, longest: int) -> Shape:
        """What a batch of a shape runs as, with so many rows, the longest of so many tokens."""
        if not self.takes_any_shape:
            return shape
        tokens = max(math.ceil(longest / _STEP) * _STEP, self.lengths[0])
        return rows, min(tokens, shape[1])

    def length_for(self, count: int) -> int:
        """The shortest length that holds a row of so many tokens."""
        return next(length for length in self.lengths if count <= length)

    def alone(self, length: int) -> Shape:
        """The smallest shape of one row that holds a length."""
        return min((shape for shape in self.warmed if shape[0] == 1 and shape[1] >= length), key=lambda shape: shape[1])

    def per_row(self, length: int) -> float:
        """Seconds that a row of a length takes in the best company."""
        known = self._per_row
        if length not in known:
            known[length] = min(self.seconds(shape) / shape[0] for shape in self.warmed if shape[1] >= length)
        return known[length]

    def choose(self, waiting: Mapping[int, int], first: int) -> Shape:
        """The shape that serves most work for its time.

        The work of a row is what it takes in the best company. A shape longer than the first row is one only where
        longer rows leave places, so that the first is among those that `served` fills it with.

        Args:
            waiting: rows by length.
            first: length of the row that has to be among them.

        Returns:
            Of the best and those that are as good, the one that serves most: every batch costs the server something
            that no engine sees.
        """
        per_row = {length: self.per_row(length) for length in waiting}
        work, found = {}, {}
        for shape in self.warmed:
            rows, length = shape
            longer = sum(count for other, count in waiting.items() if first < other <= length)
            if length < first or longer >= rows:
                continue
            places = served(waiting, shape)
            work[shape] = sum(count * per_row[other] for other, count in places.items())
            found[shape] = work[shape] / self.seconds(self.trimmed(shape, sum(places.values()), max(places)))
        enough = _AS_GOOD * max(found.values())
        good = (shape for shape in found if found[shape] >= enough)
        return max(good, key=lambda shape: (round(work[shape], 9), found[shape], -shape[1]))

    def saw(self, shape: Shape, seconds: float, held: float | None = None) -> None:
        """Follow what a batch took.

        Args:
            shape: that it ran as.
            seconds: of the engine.
            held: seconds from when it was sent until it was back; None where nothing lies around the engine's.
        """
        held = seconds if held is None else held
        self._latest.append(held)
        self._seen += 1
        step = max(_FOLLOW, 1 / self._seen)
        wrong = math.log(max(seconds, _LEAST) / self._engine_seconds(shape))
        self._slower += step * min(max(wrong, -_MOST_WRONG), _MOST_WRONG)
        self._around += step * (min(max(held - seconds, 0.0), seconds) - self._around)
        self._per_row = {}
        if self._seen % _OFTEN == 0:
            self._usual = None

    def patience(self, floor: float) -> float:
        """Seconds of silence after which an engine is taken for dead: 20 times the 99th percentile of its batches."""
        usual = self._usual
        if usual is None:
            usual = float(np.percentile(list(self._latest), 99)) if self._latest else max(self.warmed.values())
            self._usual = usual
        return max(floor, _WATCHDOG_TIMES * usual)

    def _engine_seconds(self, shape: Shape) -> float:
        batch, token, pair = self._parts
        rows, length = shape
        return math.exp(self._slower) * max(batch + rows * length * (token + pair * length), _LEAST)


def served(waiting: Mapping[int, int], shape: Shape) -> dict[int, int]:
    """Rows by length, of those that wait, that a batch of a shape takes: the longest that it holds first."""
    left, taken = shape[0], {}
    for length in sorted((length for length in waiting if length <= shape[1]), reverse=True):
        if left:
            taken[length] = min(waiting[length], left)
            left -= taken[length]
    return taken


def _fitted(seconds: Mapping[Shape, float]) -> tuple[float, float, float]:
    """Seconds of a batch, of each token, and of each pair of tokens of a row, none below 0, that fit best.

    What is off by much counts for little: it was seen once, on a machine that had other things to do.
    """
    terms = np.array([(1.0, rows * length, rows * length**2) for rows, length in seconds])
    relative = terms / np.fromiter(seconds.values(), float)[:, None]
    scale = relative.max(0)
    weights, parts = np.ones(len(relative)), np.zeros(3)
    for _ in range(_ROUNDS):
        kept = [0, 1, 2]
        while kept:
            rows = relative[:, kept] / scale[kept] * weights[:, None]
            some = np.linalg.lstsq(rows, weights, rcond=None)[0]
            if some.min() >= 0:
                break
            kept.pop(int(some.argmin()))
        parts = np.zeros(3)
        parts[kept] = some / scale[kept]
        weights = 1 / np.hypot(1.0, (relative @ parts - 1) / _OFF)
    batch, token, pair = (float(part) for part in parts)
    return batch, token, pair
