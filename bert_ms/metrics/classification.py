"""Scores of labels and of numbers, in percent where they are parts of a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.errors import DataError

Labels = Sequence[int] | np.ndarray


def evaluate(gold: Labels, predicted: Labels, *, labels: int) -> dict[str, float]:
    """Scores of one label a text.

    Args:
        gold: int [N], in [0, labels).
        predicted: int [N].
        labels: how many there are.

    Returns:
        accuracy, macro_f1, micro_f1, weighted_f1 and matthews; for two labels also f1, that of label 1.

    Raises:
        DataError: nothing to score, or lengths that differ.
    """
    gold, predicted = _checked(gold, predicted, np.int64)
    counts = np.bincount(gold * labels + predicted, minlength=labels * labels).reshape(labels, labels)
    right, of_gold, of_predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    occurs = of_gold + of_predicted > 0
    means = _f1_scores(right[occurs], of_gold[occurs], of_predicted[occurs])
    scores = {"accuracy": 100.0 * right.sum() / len(gold), **means}
    scores["matthews"] = 100.0 * _matthews(counts)
    if labels == 2:
        scores = {"f1": 100.0 * float(f1_scores(right, of_gold, of_predicted)[1]), **scores}
    return {name: float(value) for name, value in scores.items()}


def evaluate_sets(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Scores of any number of labels a text.

    Args:
        gold: bool [N, L], which labels a text has.
        predicted: bool [N, L].

    Returns:
        micro_f1, macro_f1 and weighted_f1; accuracy counts the texts all of whose labels are right.
    """
    gold, predicted = _checked(gold, predicted, np.bool_)
    scores = _f1_scores((gold & predicted).sum(axis=0), gold.sum(axis=0), predicted.sum(axis=0))
    return {**scores, "accuracy": 100.0 * float((gold == predicted).all(axis=1).mean())}


def evaluate_numbers(gold: Sequence[float] | np.ndarray, predicted: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Scores of one number a text.

    Args:
        gold: float [N].
        predicted: float [N].

    Returns:
        pearson and spearman in percent, and mse, the mean squared difference.
    """
    gold, predicted = _checked(gold, predicted, np.float64)
    return {
        "pearson": 100.0 * pearson(gold, predicted),
        "spearman": 100.0 * pearson(_ranks(gold), _ranks(predicted)),
        "mse": float(((gold - predicted) ** 2).mean()),
    }


def f1_scores(right: np.ndarray, of_gold: np.ndarray, of_predicted: np.ndarray) -> np.ndarray:
    """F1 of each label, 0 to 1; 0 for a label that neither stands nor is predicted anywhere.

    Args:
        right: int [L], texts that have the label and were given it.
        of_gold: int [L], texts that have it.
        of_predicted: int [L], texts that were given it.
    """
    total = of_gold + of_predicted
    return np.where(total > 0, 2.0 * right / np.maximum(total, 1), 0.0)


def pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation, -1 to 1; 0 where one side is the same everywhere."""
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first**2).sum()) * np.sqrt((second**2).sum()))
    return float((first * second).sum()) / size if size > 0 else 0.0


def _f1_scores(right: np.ndarray, of_gold: np.ndarray, of_predicted: np.ndarray) -> dict[str, float]:
    """Means of the labels' F1: of all counts together, of each label alike, and weighted by how often it stands.

    Source: scikit-learn's f1_score with zero_division=0. It looks at labels that stand or are predicted somewhere where
    a text has one label, at all of them where it may have several.
    """
    each = f1_scores(right, of_gold, of_predicted)
    total = int(of_gold.sum() + of_predicted.sum())
    texts = int(of_gold.sum())
    return {
        "micro_f1": 100.0 * 2.0 * float(right.sum()) / total if total else 0.0,
        "macro_f1": 100.0 * float(each.mean()),
        "weighted_f1": 100.0 * float((each * of_gold).sum()) / texts if texts else 0.0,
    }


def _matthews(counts: np.ndarray) -> float:
    """Matthews' correlation of many labels, -1 to 1; 0 where one side is the same everywhere.

    Source: Gorodkin 2004, the R_K statistic.
    """
    of_gold, of_predicted = counts.sum(axis=1).astype(np.float64), counts.sum(axis=0).astype(np.float64)
    total, right = float(counts.sum()), float(np.trace(counts))
    covariance = right * total - float(of_gold @ of_predicted)
    size = float(np.sqrt(total**2 - of_gold @ of_gold) * np.sqrt(total**2 - of_predicted @ of_predicted))
    return covariance / size if size > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in ascending order, from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[place.reshape(-1)]


def _checked(gold: object, predicted: object, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    first: np.ndarray = np.asarray(gold, dtype)
    second: np.ndarray = np.asarray(predicted, dtype)
    if first.shape != second.shape:
        raise DataError(f"{first.shape} gold labels but {second.shape} predictions: expected as many of both.")
    if not len(first):
        raise DataError("there is nothing to score: no texts.")
    return first, second
