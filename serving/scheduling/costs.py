"""How long batches take, by shape, and which of them serves what waits at the least time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from ..engine.shapes import Shape

# How far a batch moves what is thought of all shapes together, and then of its own, on a scale of logarithms: as in the
# mean of the few that were seen, warm-up among them, and no less than this later on.
_DRIFT, _FOLLOW = 0.15, 0.05
# What took far longer than it was thought to is more likely a hiccup than a discovery.
_MOST_SLOWER = 0.3
# What was once seen of a shape alone counts for less with every batch of another.
_KEPT = 0.997
# What never runs is never known: a shape that would be nearly full is tried after so many batches without it where it
# is thought to be half as good as the best; sooner where better, so that trying costs the same.
_FORGOTTEN, _SOONEST = 256, 16
_WORTH_TRYING, _WELL_FILLED = 0.5, 0.75
_REMEMBERED = 512
_WATCHDOG_TIMES = 20
_LEAST = 1e-6
_STEP = 8  # tokens that batches of any shape are padded to a multiple of


class Costs:
    """Seconds of each shape that may run.

    What a shape takes is what it took at warm-up, times a factor of its own, times one for all of them. A batch that
    was seen corrects both, so that shapes which do not run stay in proportion to those that do.

    An engine that takes any shape runs those between them too. Such a batch is thought to take what the least shape
    takes, and of what the shape around it takes beyond that as much as it has of its tokens.

    Args:
        seconds: by (rows, tokens); the longest has a shape of one row.
        takes_any_shape: whether batches may be smaller than a shape, without a row or a token to fill it.

    Attributes:
        lengths: that rows are padded to at most, ascending.
        warmed: seconds of each shape at warm-up.
    """

    def __init__(self, seconds: Mapping[Shape, float], *, takes_any_shape: bool = False):
        self.takes_any_shape = takes_any_shape
        self.lengths = sorted({length for _, length in seconds})
        self.warmed = _without_hiccups(seconds)
        self._own = dict.fromkeys(self.warmed, 0.0)  # logarithms
        self._drift = 0.0
        self._seen, self._all_seen = dict.fromkeys(self.warmed, 1), 1  # at warm-up
        self._unseen_for = dict.fromkeys(self.warmed, 0)  # batches
        self._latest: deque[float] = deque(maxlen=_REMEMBERED)
        self._per_row: dict[int, float] = {}
        self._least = 0.0
        self._think()

    def seconds(self, shape: Shape) -> float:
        """Of a batch."""
        around = self._around(shape)
        whole = self._whole(around)
        if around == shape:
            return whole
        least = min(whole, self._least)
        return least + (whole - least) * math.prod(shape) / math.prod(around)

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
        return self._per_row[length]

    def choose(self, waiting: Mapping[int, int], first: int) -> Shape:
        """The shape that serves most work for its time.

        The work of a row is what it takes in the best company. A shape longer than the first row is one only where
        longer rows leave places, so that the first is among those that `served` fills it with.

        Args:
            waiting: rows by length.
            first: length of the row that has to be among them.

        Returns:
            The best shape, or one nearly as good that has not been seen for long; the larger of equals.
        """
        found, filled = {}, {}
        for shape in self.warmed:
            rows, length = shape
            longer = sum(count for other, count in waiting.items() if first < other <= length)
            if length < first or longer >= rows:
                continue
            places = served(waiting, shape)
            filled[shape] = sum(places.values()) / rows
            work = sum(count * self._per_row[other] for other, count in places.items())
            found[shape] = work / self.seconds(self.trimmed(shape, sum(places.values()), max(places)))
        best = max(found, key=lambda shape: (found[shape], shape[0], -shape[1]))
        forgotten = [
            shape
            for shape in found
            if filled[shape] >= _WELL_FILLED and self._is_forgotten(shape, found[shape] / found[best])
        ]
        return max(forgotten, key=lambda shape: found[shape]) if forgotten else best

    def saw(self, shape: Shape, seconds: float) -> None:
        """Follow what a batch took."""
        shape, seconds = self._as_around(shape, seconds)
        self._latest.append(seconds)
        wrong = min(math.log(max(seconds, _LEAST) / self.seconds(shape)), _MOST_SLOWER)
        self._all_seen += 1
        drift = max(_DRIFT, 1 / self._all_seen) * wrong
        self._drift += drift
        self._seen[shape] = 1 + (self._seen[shape] if self._unseen_for[shape] < _SOONEST else 1)
        self._own[shape] += max(_FOLLOW, 1 / self._seen[shape]) * (wrong - drift)
        for other in self.warmed:
            if other == shape:
                self._unseen_for[other] = 0
            else:
                self._unseen_for[other] += 1
                self._own[other] *= _KEPT
        self._think()

    def patience(self, floor: float) -> float:
        """Seconds of silence after which an engine is taken for dead: 20 times the 99th percentile of its batches."""
        seen = float(np.percentile(list(self._latest), 99)) if self._latest else max(self.warmed.values())
        return max(floor, _WATCHDOG_TIMES * seen)

    def _is_forgotten(self, shape: Shape, share: float) -> bool:
        """Whether a shape is to be tried that serves a share of what the best one does."""
        patience = _FORGOTTEN * (1 - share) / (1 - _WORTH_TRYING)
        return share >= _WORTH_TRYING and self._unseen_for[shape] >= max(_SOONEST, patience)

    def _around(self, shape: Shape) -> Shape:
        """The least shape that holds it."""
        if shape in self.warmed:
            return shape
        holding = (one for one in self.warmed if one[0] >= shape[0] and one[1] >= shape[1])
        return min(holding, key=lambda one: (math.prod(one), one[1]))

    def _whole(self, shape: Shape) -> float:
        return self.warmed[shape] * math.exp(self._own[shape] + self._drift)

    def _as_around(self, shape: Shape, seconds: float) -> tuple[Shape, float]:
        """What a batch that was seen tells of the shape around it: it was as much off as that is."""
        around = self._around(shape)
        return around, seconds * self._whole(around) / self.seconds(shape)

    def _think(self) -> None:
        self._least = min(map(self._whole, self.warmed))
        now = {shape: self._whole(shape) / shape[0] for shape in self.warmed}
        self._per_row = {
            length: min(value for shape, value in now.items() if shape[1] >= length) for length in self.lengths
        }


def served(waiting: Mapping[int, int], shape: Shape) -> dict[int, int]:
    """Rows by length, of those that wait, that a batch of a shape takes: the longest that it holds first."""
    left, taken = shape[0], {}
    for length in sorted((length for length in waiting if length <= shape[1]), reverse=True):
        taken[length] = min(waiting[length], left)
        left -= taken[length]
    return taken


def _without_hiccups(seconds: Mapping[Shape, float]) -> dict[Shape, float]:
    """What was seen once may be a hiccup: no batch is thought to take longer than what could be run in its place."""
    return {
        (rows, length): max(
            min(
                math.ceil(rows / others) * value
                for (others, other), value in seconds.items()
                if other >= length
            ),
            _LEAST,
        )
        for rows, length in seconds
    }
