"""From logits to labels of texts: one, any number of them, a number, or the choice taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.errors import DataError
from bert_ms.records import ChoicePrediction, LabelPrediction


def decode_labels(ids: Sequence[str], logits: np.ndarray, labels: Sequence[str]) -> list[LabelPrediction]:
    """The likeliest label of each text; of equal ones the first.

    Args:
        ids: of the texts.
        logits: float [texts, L].
        labels: L names in the network's order.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.
    """
    logits_NL = checked(ids, logits, len(labels))
    chosen = logits_NL.argmax(axis=1).tolist()
    each = softmax(logits_NL).tolist()
    return [LabelPrediction(i, labels[best], tuple(p)) for i, best, p in zip(ids, chosen, each, strict=True)]


def decode_label_sets(
    ids: Sequence[str], logits: np.ndarray, labels: Sequence[str], *, threshold: float = 0.5
) -> list[LabelPrediction]:
    """The labels of each text whose probability is at least `threshold`, in the network's order; perhaps none.

    Args:
        ids: of the texts.
        logits: float [texts, L].
        labels: L names in the network's order.
        threshold: 0 to 1.

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.
    """
    each_NL = sigmoid(checked(ids, logits, len(labels)))
    return [
        LabelPrediction(i, tuple(name for name, p in zip(labels, row, strict=True) if p >= threshold), tuple(row))
        for i, row in zip(ids, each_NL.tolist(), strict=True)
    ]


def decode_numbers(ids: Sequence[str], logits: np.ndarray) -> list[LabelPrediction]:
    """The number of each text.

    Args:
        ids: of the texts.
        logits: float [texts, 1].

    Raises:
        DataError: shapes that do not fit, or numbers that are not finite.
    """
    values = checked(ids, logits, 1)[:, 0].tolist()
    return [LabelPrediction(i, value) for i, value in zip(ids, values, strict=True)]


def decode_choices(ids: Sequence[str], logits: np.ndarray) -> list[ChoicePrediction]:
    """The likeliest choice of each example; of equal ones the first.

    Args:
        ids: of the examples.
        logits: float [examples, C].

    Raises:
        DataError: shapes that do not fit, or logits that are not finite.
    """
    logits_NC = checked(ids, logits, None)
    chosen, each = logits_NC.argmax(axis=1).tolist(), softmax(logits_NC).tolist()
    return [ChoicePrediction(i, best, tuple(p)) for i, best, p in zip(ids, chosen, each, strict=True)]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float64."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probability of each logit by itself, float64, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def checked(ids: Sequence[str], logits: np.ndarray, width: int | None) -> np.ndarray:
    """Logits as float64 [texts, width].

    Raises:
        DataError: they have another shape, or are not finite.
    """
    array = np.asarray(logits, np.float64)
    if array.ndim != 2 or len(array) != len(ids) or array.shape[1] != (array.shape[1] if width is None else width):
        expected = f"({len(ids)}, {'choices' if width is None else width})"
        raise DataError(f"logits have shape {array.shape}, expected {expected}: a row for each text.")
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0].tolist()
        raise DataError(f"logits{bad} is {array[tuple(bad)]}: the network's output is not finite.")
    return array
