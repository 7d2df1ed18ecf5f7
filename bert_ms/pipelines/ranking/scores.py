"""The scores of one checkpoint's vectors, with what comparing them to another's needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bert_ms.metrics.evidence import Moments, logme
from bert_ms.pipelines.ranking.drawing import PARTS
from bert_ms.pipelines.ranking.labelled import Labelled
from bert_ms.pipelines.ranking.measures import Measure, redrawn
from bert_ms.pipelines.ranking.probe import out_of_fold
from bert_ms.pipelines.ranking.results import Interval

DRAWS = 1000
# Of Student's distribution with PARTS - 1 = 9 degrees of freedom: 95 % lie between it and its negative.
_STUDENT = 2.262


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Both scores of a checkpoint.

    Attributes:
        vectors: the kind with the highest LogME, which everything else is of.
        logme: of all points.
        by_vectors: of all points, by kind of vectors.
        without_part: float64 [PARTS], LogME when one part is left out.
        probe: of all points, in percent.
        redrawn: float64 [DRAWS], the probe's score of rows that were drawn again.
    """

    vectors: str
    logme: float
    by_vectors: dict[str, float]
    without_part: np.ndarray
    probe: float
    redrawn: np.ndarray


def score(by_kind: Mapping[str, np.ndarray], data: Labelled, measure: Measure, *, seed: int) -> Scores:
    """Score vectors float [P, H] by kind."""
    columns = data.targets[:, data.is_frequent]
    parts = {kind: _moments(vectors, columns, data.parts) for kind, vectors in by_kind.items()}
    wholes = {kind: sum(some[1:], some[0]) for kind, some in parts.items()}
    by_vectors = {kind: logme(whole.centred()) for kind, whole in wholes.items()}
    best = max(by_vectors, key=lambda kind: by_vectors[kind])
    outputs = out_of_fold(by_kind[best], data.targets, data.parts, data.kind)
    statistics = measure.of_rows(outputs, data)
    return Scores(
        vectors=best,
        logme=by_vectors[best],
        by_vectors=by_vectors,
        without_part=np.array([logme((wholes[best] - part).centred()) for part in parts[best]]),
        probe=float(measure.formula(statistics.sum(0))),
        redrawn=redrawn(statistics, measure.formula, draws=DRAWS, seed=seed),
    )


def logme_interval(value: float, without_part: np.ndarray) -> Interval:
    """Of a LogME, or of the difference of two on the same rows, by leaving out one part after the other.

    Drawing rows again with replacement will not do here: a row that stands there twice counts as evidence twice.

    Source: Tukey's jackknife, as in Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 11.
    """
    error = np.sqrt((PARTS - 1) / PARTS * np.square(without_part - without_part.mean()).sum())
    return Interval(value, value - _STUDENT * float(error), value + _STUDENT * float(error))


def probe_interval(value: float, scores: np.ndarray) -> Interval:
    """Of a probe's score, or of the difference of two draw by draw: what 95 % of the draws lie between."""
    low, high = np.quantile(scores, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _moments(vectors: np.ndarray, columns: np.ndarray, parts: np.ndarray) -> list[Moments]:
    return [Moments.of(vectors[parts == part], columns[parts == part]) for part in range(PARTS)]
