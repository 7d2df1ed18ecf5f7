"""Scores of labels and numbers equal those of scikit-learn 1.9.1 and scipy 1.17.1, computed once on these arrays."""

from __future__ import annotations

import numpy as np
import pytest

from bert_ms.errors import DataError
from bert_ms.metrics import classification

# five labels, of which one never stands and one is never predicted
GOLD_5 = "422422410114402402024111214222222442221421404200200242444222"
PREDICTED_5 = "433423411113002100304311310213210443333421334013100322203322"
GOLD_2 = "1011011101000010000001111000010001011111"
PREDICTED_2 = "0010001100010111000000011000000001010001"
GOLD_SETS = "0000 0110 1110 1010 1100 0000 0100 0110 1000 0010 0100 0100"
PREDICTED_SETS = "1100 1011 1111 1010 1100 1001 0100 0011 1101 0000 0000 0000"
GOLD_NUMBERS = [0.5, 3.6, 3.9, 4.1, 3.4, 1.9, 0.3, 2.6, 3.8, 1.0, 1.3, 2.7, 3.7, 4.5, 0.6, 0.9, 4.0, 3.2, 3.6, 5.0,
                4.7, 4.2, 3.9, 2.0, 3.2]  # fmt: skip
PREDICTED_NUMBERS = [0.2, 3.4, 4.0, 5.6, 4.0, 1.8, -0.3, 2.0, 5.4, 1.5, 1.4, 2.4, 2.6, 4.4, 1.5, 0.5, 3.8, 3.0, 3.7,
                     3.4, 4.5, 3.3, 4.8, 1.2, 3.8]  # fmt: skip


def digits(text: str) -> list[int]:
    return list(map(int, text))


def sets(text: str) -> np.ndarray:
    return np.array([digits(row) for row in text.split()], bool)


def test_scores_of_several_labels_equal_scikit_learns() -> None:
    assert classification.evaluate(digits(GOLD_5), digits(PREDICTED_5), labels=5) == pytest.approx(
        {"accuracy": 45.0, "macro_f1": 42.6701298701, "micro_f1": 45.0, "weighted_f1": 52.7264069264,
         "matthews": 38.1438563354}
    )  # fmt: skip


def test_of_two_labels_f1_is_that_of_label_1() -> None:
    assert classification.evaluate(digits(GOLD_2), digits(PREDICTED_2), labels=2) == pytest.approx(
        {"f1": 58.064516129, "accuracy": 67.5, "macro_f1": 65.7669519421, "micro_f1": 67.5,
         "weighted_f1": 66.1520737327, "matthews": 36.0510438939}
    )  # fmt: skip


def test_scores_of_label_sets_equal_scikit_learns() -> None:
    assert classification.evaluate_sets(sets(GOLD_SETS), sets(PREDICTED_SETS)) == pytest.approx(
        {"micro_f1": 59.4594594595, "macro_f1": 52.904040404, "weighted_f1": 67.8345959596, "accuracy": 25.0}
    )


def test_correlations_equal_scipys_ties_and_all() -> None:
    assert classification.evaluate_numbers(GOLD_NUMBERS, PREDICTED_NUMBERS) == pytest.approx(
        {"pearson": 88.1147363636, "spearman": 83.4007333006, "mse": 0.5556}
    )


@pytest.mark.parametrize("scores", [
    classification.evaluate([0, 0, 0], [0, 0, 0], labels=2),
    classification.evaluate([0, 0, 0], [1, 1, 1], labels=2),
    classification.evaluate_sets(np.zeros((2, 3), bool), np.zeros((2, 3), bool)),
    classification.evaluate_numbers([1.0, 1.0], [2.0, 3.0]),
])  # fmt: skip
def test_scores_without_meaning_are_0_rather_than_nan(scores: dict[str, float]) -> None:
    assert np.isfinite(list(scores.values())).all()
    assert 0.0 in scores.values()


def test_nothing_to_score_and_unequal_numbers_are_named() -> None:
    with pytest.raises(DataError, match=r"\(2,\) gold labels but \(1,\) predictions"):
        classification.evaluate([0, 1], [0], labels=2)
    with pytest.raises(DataError, match="nothing to score: no texts"):
        classification.evaluate([], [], labels=2)
