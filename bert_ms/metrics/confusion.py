"""Which labels are taken for which: the confusion matrix, and what follows from it for each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class LabelScore(NamedTuple):
    """Scores of one label, each 0 to 1 (0 where it is not defined), and how many examples have the label."""

    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(gold: Sequence[int] | np.ndarray, predicted: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    """How often each label was taken for each.

    Args:
        gold: numbers of labels, [N], from 0.
        predicted: numbers of labels, [N].
        size: number of labels.

    Returns:
        int64 [size, size]: row gold, column predicted.
    """
    places = np.asarray(gold, np.int64) * size + np.asarray(predicted, np.int64)
    return np.bincount(places, minlength=size * size).reshape(size, size)


def label_scores(counts: np.ndarray) -> list[LabelScore]:
    """Precision, recall and F1 of each label of a square confusion matrix."""
    rights, gold, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    return [score_of(*map(int, each)) for each in zip(rights, gold, predicted, strict=True)]


def score_of(right: int, gold: int, predicted: int) -> LabelScore:
    """Scores from counts: how many were found rightly, of how many there are, among how many that were given."""
    precision, recall = right / max(predicted, 1), right / max(gold, 1)
    return LabelScore(precision, recall, 2 * right / max(gold + predicted, 1), gold)


def most_confused(counts: np.ndarray, most: int) -> list[int]:
    """Numbers of the labels with the most errors, given or taken, in their own order; all where there are no more.

    Args:
        counts: int [L, L].
        most: labels to choose.
    """
    errors = counts - np.diag(np.diag(counts))
    worst = np.argsort(-(errors.sum(0) + errors.sum(1)), kind="stable")[:most]
    return sorted(map(int, worst))


def folded(counts: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """The matrix of some labels, with all others taken together in a last row and column, int64 [K + 1, K + 1].

    What the others are taken for among themselves is no confusion worth showing and is left at 0.
    """
    chosen = np.array(kept, np.int64)
    others = np.setdiff1d(np.arange(len(counts)), chosen)
    result = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    result[:-1, :-1] = counts[np.ix_(chosen, chosen)]
    result[:-1, -1] = counts[np.ix_(chosen, others)].sum(1)
    result[-1, :-1] = counts[np.ix_(others, chosen)].sum(0)
    return result


def confused_pairs(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """(gold, predicted, how often) of the most frequent errors, the most frequent first."""
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    pairs = [(int(place) // len(counts), int(place) % len(counts)) for place in order]
    return [(gold, predicted, int(errors[gold, predicted])) for gold, predicted in pairs if errors[gold, predicted]]
