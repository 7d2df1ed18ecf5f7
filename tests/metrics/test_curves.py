"""Curves, calibration and confusion agree with scikit-learn 1.x, whose numbers are written down here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bert_ms.metrics.calibration import reliability
from bert_ms.metrics.confusion import confused_pairs, confusion_matrix, folded, label_scores, most_confused
from bert_ms.metrics.curves import average_precision, precision_recall, roc_auc

NUMBERS = np.arange(40)
TRUTH = NUMBERS * 7 % 11 < 4
SCORES = np.round((NUMBERS * 37 % 41 / 41 + TRUTH * 0.25) % 1.0, 2)  # 35 distinct ones
COUNT = np.arange(30)
GOLD, PREDICTED = COUNT % 4, (COUNT**2 + COUNT // 3) % 4


def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    curve = precision_recall(TRUTH, SCORES)
    some = [0, 5, 17, -1]
    assert len(curve.thresholds) == 35
    assert curve.thresholds[some].tolist() == [0.98, 0.84, 0.47, 0.02]
    assert curve.precision[some].tolist() == pytest.approx([0.5, 0.42857142857142855, 0.38095238095238093, 0.375])
    assert curve.recall[some].tolist() == pytest.approx([0.06666666666666667, 0.2, 0.5333333333333333, 1.0])


def test_areas_are_those_of_scikit_learn() -> None:
    assert average_precision(TRUTH, SCORES) == pytest.approx(0.3980803309750678, abs=1e-12)
    assert roc_auc(TRUTH, SCORES) == pytest.approx(0.47866666666666663, abs=1e-12)


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_curves_of_one_kind_alone_are_defined(truth: list[bool]) -> None:
    scores = np.linspace(0, 1, len(truth))
    assert average_precision(np.array(truth), scores) == (1.0 if any(truth) else 0.0)
    assert math.isnan(roc_auc(np.array(truth), scores))
    assert (precision_recall(np.array(truth), scores).recall[-1:] == 1).all()


def test_a_perfect_order_has_area_1() -> None:
    assert average_precision(TRUTH, TRUTH + SCORES / 2) == roc_auc(TRUTH, TRUTH + SCORES / 2) == 1.0


def test_reliability_is_that_of_scikit_learn() -> None:
    found = reliability(SCORES, TRUTH, bins=5)
    accuracy = [0.4444444444444444, 0.375, 0.2857142857142857, 0.375, 0.375]
    confidence = [0.10222222222222224, 0.31625, 0.49571428571428566, 0.6825, 0.9087500000000001]
    assert found.accuracy.tolist() == pytest.approx(accuracy)
    assert found.confidence.tolist() == pytest.approx(confidence)
    assert found.counts.sum() == 40 and found.low.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    gaps = [abs(a - c) * n for a, c, n in zip(accuracy, confidence, found.counts.tolist(), strict=True)]
    assert found.error == pytest.approx(sum(gaps) / 40)


def test_empty_bins_are_not_counted() -> None:
    found = reliability(np.array([1.0, 1.0, 0.0]), np.array([True, False, False]))
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert np.isnan(found.accuracy[1:-1]).all()
    assert found.error == pytest.approx(1 / 3)
    assert reliability(np.zeros(0), np.zeros(0, bool)).error == 0.0


def test_confusion_is_that_of_scikit_learn() -> None:
    counts = confusion_matrix(GOLD, PREDICTED, 5)
    assert counts.tolist() == [[3, 3, 2, 0, 0], [2, 3, 3, 0, 0], [3, 0, 2, 2, 0], [2, 0, 3, 2, 0], [0, 0, 0, 0, 0]]
    scores = label_scores(counts)
    assert [s.precision for s in scores] == pytest.approx([0.3, 0.5, 0.2, 0.5, 0.0])
    assert [s.recall for s in scores] == pytest.approx([0.375, 0.375, 0.2857142857142857, 0.2857142857142857, 0.0])
    assert [s.f1 for s in scores] == pytest.approx(
        [0.3333333333333333, 0.42857142857142855, 0.23529411764705882, 0.36363636363636365, 0.0]
    )
    assert [s.support for s in scores] == [8, 8, 7, 7, 0]


def test_the_most_confused_labels_are_kept_and_the_rest_counted_together() -> None:
    counts = np.diag([50, 40, 30, 20])
    counts[0, 3], counts[3, 1], counts[2, 0] = 9, 5, 1
    assert most_confused(counts, 2) == [0, 3]
    assert folded(counts, [0, 3]).tolist() == [[50, 9, 0], [0, 20, 5], [1, 0, 0]]
    assert confused_pairs(counts, 2) == [(0, 3, 9), (3, 1, 5)]
    assert confused_pairs(np.diag([3, 4]), 5) == []
