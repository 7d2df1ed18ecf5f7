"""What a probability is worth at every threshold: precision and recall, average precision, area under the ROC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class PrecisionRecall(NamedTuple):
    """Precision and recall of "at least this threshold", by falling threshold; float64 [thresholds], each 0 to 1."""

    precision: np.ndarray
    recall: np.ndarray
    thresholds: np.ndarray


def precision_recall(is_true: np.ndarray, scores: np.ndarray) -> PrecisionRecall:
    """The curve of one label.

    Args:
        is_true: bool [N], whether an example has the label.
        scores: float [N], higher where the label is likelier.

    Returns:
        One point for each distinct score; recall rises from above 0 to 1. Without an example that has the label
        recall is 1 throughout, as there is nothing to miss.

    Source: scikit-learn's `precision_recall_curve`, whose points come in the opposite order, with (1, 0) added.
    """
    hits, taken, thresholds = _counts(is_true, scores)
    total = int(hits[-1]) if len(hits) else 0
    recall = hits / total if total else np.ones(len(hits))
    return PrecisionRecall(hits / np.maximum(taken, 1), recall, thresholds)


def average_precision(is_true: np.ndarray, scores: np.ndarray) -> float:
    """Mean precision over the steps of recall, 0 to 1; 0 where no example has the label.

    Source: scikit-learn's `average_precision_score`: no interpolation between points.
    """
    if not np.any(is_true):
        return 0.0
    curve = precision_recall(is_true, scores)
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def roc_auc(is_true: np.ndarray, scores: np.ndarray) -> float:
    """Probability that an example with the label scores above one without, equal scores counting half.

    Returns:
        0 to 1; not a number where all examples, or none, have the label.

    Source: scikit-learn's `roc_auc_score`.
    """
    hits, taken, _ = _counts(is_true, scores)
    misses = taken - hits
    if not len(hits) or not hits[-1] or not misses[-1]:
        return float("nan")
    heights = np.concatenate([[0.0], hits / hits[-1]])
    widths = np.diff(misses / misses[-1], prepend=0.0)
    return float(np.sum(widths * (heights[1:] + heights[:-1]) / 2))


def _counts(is_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Examples with the label, and all examples, that score at least each distinct score, the highest first."""
    is_true, scores = np.asarray(is_true, bool), np.asarray(scores, np.float64)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # of each run of equal scores
    return np.cumsum(is_true[order])[last].astype(np.float64), last + 1.0, ordered[last]
