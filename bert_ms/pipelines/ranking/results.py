"""What a ranking says: checkpoints in their order, how sure that is, and which one to start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

By = Literal["logme", "probe"]
_MUCH_SMALLER = 0.8
TITLES: dict[By, str] = {"logme": "LogME", "probe": "probe"}


class Interval(NamedTuple):
    """A number, and from where to where it would lie 95 times of 100, had other rows been drawn."""

    value: float
    low: float
    high: float

    @property
    def has_zero(self) -> bool:
        """Whether it may as well be 0."""
        return self.low <= 0 <= self.high


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A checkpoint that was scored.

    Attributes:
        source: as it was named.
        vectors: the kind of frozen vectors that both scores are of: that of the highest LogME.
        logme: a row (or word).
        probe: in percent.
        behind: what the first one's LogME is more, on the same rows; 0 for the first.
        probe_behind: what the first one's probe is more.
        by_vectors: LogME of each kind of vectors.
        width: numbers of a vector.
        parameters: of the encoder.
        unknown: percent of the tokens that its vocabulary has not.
        seconds: that it took to load, run and score it.
    """

    source: str
    vectors: str
    logme: Interval
    probe: Interval
    behind: Interval
    probe_behind: Interval
    by_vectors: dict[str, float]
    width: int
    parameters: int
    unknown: float
    seconds: float

    def score(self, by: By) -> Interval:
        """The one that decides."""
        return self.logme if by == "logme" else self.probe

    def distance(self, by: By) -> Interval:
        """How far it is behind the first."""
        return self.behind if by == "logme" else self.probe_behind


class Failure(NamedTuple):
    """A checkpoint that could not be scored, and why."""

    source: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Checkpoints for a task and its data.

    Attributes:
        task: its name.
        file: of the data.
        rows: that were drawn.
        available: rows of the file.
        points: vectors that were scored: rows, or words of them.
        labels: how many there are; 0 for numbers.
        by: the score that decides.
        measure: of the probe.
        without_vectors: what the probe's score would be for saying the same of every row.
        candidates: best first.
        failures: in the order they were named.
    """

    task: str
    file: str
    rows: int
    available: int
    points: int
    labels: int
    by: By
    measure: str
    without_vectors: float
    candidates: Sequence[Candidate]
    failures: Sequence[Failure]

    @property
    def first(self) -> Sequence[Candidate]:
        """The best one, with those that cannot be told from it."""
        return [c for place, c in enumerate(self.candidates) if not place or c.distance(self.by).has_zero]

    @property
    def verdict(self) -> str:
        """Which one to start from, in words."""
        sentences = [self._choice(), *self._doubts()]
        return " ".join(sentence for sentence in sentences if sentence)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = dataclasses.asdict(self)
        return values | {
            "candidates": [_plain(candidate) for candidate in self.candidates],
            "failures": [failure._asdict() for failure in self.failures],
            "first": [candidate.source for candidate in self.first],
            "verdict": self.verdict,
        }

    def _choice(self) -> str:
        best, title = self.candidates[0], TITLES[self.by]
        if len(self.candidates) == 1:
            return f"Only {best.source} could be scored: there is nothing to compare it with."
        close = self.first[1:]
        if not close:
            second = self.candidates[1]
            return (
                f"Start from {best.source}: its {title} is {_told(second.distance(self.by), self.by)} above that of "
                f"{second.source}, the next."
            )
        named = (" and " if len(close) < 2 else ", ").join(candidate.source for candidate in self.first)
        gaps = ", ".join(_told(c.distance(self.by), self.by) for c in close)
        smallest, next_one, *_ = sorted(self.first, key=lambda candidate: candidate.parameters)
        is_small = smallest.parameters < _MUCH_SMALLER * next_one.parameters  # a pooler more or less is nothing
        small = f" {smallest.source} is the smallest of them." if is_small else ""
        more = "rank by more of them (--rows)" if self.rows < self.available else "label more of them"
        return (
            f"Too close to call between {named}: the first one's {title} is ahead by {gaps}, which other rows may turn "
            f"round.{small} To tell them apart, {more}, or train each for a while."
        )

    def _doubts(self) -> list[str]:
        best, found = self.candidates[0], []
        other: By = "probe" if self.by == "logme" else "logme"
        preferred = max(self.candidates, key=lambda candidate: candidate.score(other).value)
        if preferred.distance(other).high < 0:
            found.append(
                f"The {TITLES[other]} would put {preferred.source} before {best.source}, by "
                f"{_told(Interval(*(-number for number in preferred.distance(other))), other)}: train both."
            )
        if best.probe.low <= self.without_vectors:
            found.append(
                f"Mind that a linear probe on the vectors of {best.source} is hardly better than saying the same of "
                f"every row ({self.measure} {self.without_vectors:.1f}): as they come they say little of these labels, "
                f"and training may change the order."
            )
        return found


def _told(interval: Interval, by: By) -> str:
    digits = 4 if by == "logme" else 1
    low, high = sorted(interval[1:])
    return f"{interval.value:.{digits}f} (95 % interval {low:.{digits}f} to {high:.{digits}f})"


def _plain(candidate: Candidate) -> dict[str, Any]:
    values = dataclasses.asdict(candidate)
    return {name: v._asdict() if isinstance(v, Interval) else v for name, v in values.items()}
