"""Whether probabilities mean what they say: of the answers given with 80 %, 80 % should be right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Reliability(NamedTuple):
    """Answers put into bins of equal width by their probability.

    Attributes:
        low: lower ends of the bins, float64 [bins]; the last ends at 1.
        counts: answers of each bin, int64 [bins].
        confidence: mean probability in each bin, float64 [bins]; not a number where a bin is empty.
        accuracy: part of them that is right, float64 [bins], 0 to 1; not a number where a bin is empty.
    """

    low: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: the mean distance of accuracy from confidence, by answers.

        Source: Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 3.
        """
        total = self.counts.sum()
        if not total:
            return 0.0
        distance = np.abs(np.nan_to_num(self.accuracy) - np.nan_to_num(self.confidence))
        return float(np.sum(self.counts * distance) / total)


def reliability(probabilities: np.ndarray, is_right: np.ndarray, *, bins: int = 10) -> Reliability:
    """Accuracy by probability.

    Args:
        probabilities: float [N], 0 to 1, of the answers given.
        is_right: bool [N].
        bins: of equal width; a probability that stands on a border belongs to the bin below it.
    """
    probabilities, is_right = np.asarray(probabilities, np.float64), np.asarray(is_right, bool)
    borders = np.linspace(0.0, 1.0, bins + 1)
    place = np.searchsorted(borders[1:-1], probabilities)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, probabilities, minlength=bins) / counts
        accuracy = np.bincount(place, is_right, minlength=bins) / counts
    return Reliability(borders[:-1], counts, confidence, accuracy)
