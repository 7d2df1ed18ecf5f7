"""How good a probe's outputs are, as a score of sums over rows, so that drawing rows again costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bert_ms.pipelines.ranking.labelled import Labelled
from bert_ms.tags import schemes

Formula = Callable[[np.ndarray], np.ndarray]  # sums [..., S] to scores [...]


@dataclass(frozen=True)
class Measure:
    """A score in percent.

    Attributes:
        name: as people say it.
        statistics: outputs and targets [P, C] to float64 [P, S], which are added up.
        formula: the sums to the score.
    """

    name: str
    statistics: Callable[[np.ndarray, np.ndarray], np.ndarray]
    formula: Formula

    def of_rows(self, outputs: np.ndarray, data: Labelled) -> np.ndarray:
        """The statistics of each row, those of its words together, float64 [rows, S]."""
        by_point = self.statistics(outputs, data.targets)
        rows = np.zeros((len(data.examples), by_point.shape[1]))
        np.add.at(rows, data.owner, by_point)
        return rows


def measure_of(data: Labelled, metric: str | None) -> Measure:
    """The score of the probe: accuracy, or matthews where the data set is scored by it; F1 of several labels, or of the
    tags that are not O; the correlation of numbers."""
    if data.kind == "number":
        return Measure("pearson", _products, _pearson)
    if data.kind == "labels":
        return Measure("micro F1", lambda outputs, targets: _hits(outputs > 0, targets > 0), _f1)
    if data.kind == "tags":
        begin = int(data.labels[0] == schemes.OUTSIDE)
        return Measure("F1 of words", lambda o, t: _hits(_chosen(o)[:, begin:], t[:, begin:] > 0), _f1)
    if metric == "matthews":
        return Measure("matthews", _agreement, _matthews)
    return Measure("accuracy", _agreement, lambda sums: 100 * sums[..., 0] / np.maximum(sums[..., 1], 1))


def without_vectors(measure: Measure, data: Labelled) -> float:
    """The score of saying the same of every point: the most frequent label, or every label of most rows."""
    if data.kind == "number":
        return 0.0
    frequency = data.targets.mean(0)
    outputs = np.tile(frequency - 0.5 if data.kind == "labels" else frequency, (len(data.targets), 1))
    return float(measure.formula(measure.of_rows(outputs, data).sum(0)))


def redrawn(statistics: np.ndarray, formula: Formula, *, draws: int, seed: int) -> np.ndarray:
    """Scores of rows drawn again with replacement, as often as there are rows: float64 [draws].

    The same seed draws the same rows, so that scores of two checkpoints can be subtracted draw by draw.
    """
    rows = len(statistics)
    times = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=draws)
    return formula(times @ statistics)


def _chosen(outputs: np.ndarray) -> np.ndarray:
    """bool [P, C], true for the greatest output of each point."""
    return outputs.argmax(1)[:, None] == np.arange(outputs.shape[1])


def _hits(predicted: np.ndarray, gold: np.ndarray) -> np.ndarray:
    return np.stack([(predicted & gold).sum(1), predicted.sum(1), gold.sum(1)], 1).astype(np.float64)


def _f1(sums: np.ndarray) -> np.ndarray:
    return 200 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def _agreement(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    predicted, gold = _chosen(outputs), targets > 0
    right = (predicted & gold).sum(1, keepdims=True)
    return np.concatenate([right, np.ones_like(right), predicted, gold], 1).astype(np.float64)


def _matthews(sums: np.ndarray) -> np.ndarray:
    """Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient" (2004)."""
    right, count = sums[..., 0], sums[..., 1]
    labels = (sums.shape[-1] - 2) // 2
    predicted, gold = sums[..., 2 : 2 + labels], sums[..., 2 + labels :]
    above = right * count - (predicted * gold).sum(-1)
    below = (count**2 - np.square(predicted).sum(-1)) * (count**2 - np.square(gold).sum(-1))
    return 100 * above / np.sqrt(np.maximum(below, 1))


def _products(outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    x, y = outputs[:, 0] - targets.mean(), targets[:, 0] - targets.mean()  # smaller numbers lose less when added up
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], 1)


def _pearson(sums: np.ndarray) -> np.ndarray:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    below = np.maximum(count * xx - x * x, 0) * np.maximum(count * yy - y * y, 0)
    return 100 * (count * xy - x * y) / np.sqrt(np.where(below > 0, below, np.inf))
