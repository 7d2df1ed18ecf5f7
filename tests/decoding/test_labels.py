"""Labels, sets of labels, numbers and choices from plain arrays of logits, and the files that they are written to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bert_ms.decoding import label_files, labels
from bert_ms.errors import DataError
from bert_ms.records import ChoicePrediction, LabelPrediction


def test_the_likeliest_label_is_taken_and_the_first_of_equal_ones() -> None:
    found = labels.decode_labels(["x", "y"], np.array([[0.0, np.log(3.0)], [2.0, 2.0]], np.float32), ["no", "yes"])
    assert [(p.id, p.label) for p in found] == [("x", "yes"), ("y", "no")]
    assert found[0].probabilities == pytest.approx((0.25, 0.75)) and found[1].probabilities == (0.5, 0.5)


def test_each_label_of_a_set_is_judged_by_itself() -> None:
    logits = np.array([[2.0, 0.0, -2.0], [-1e4, -9.0, 1e4]], np.float32)
    first, second = labels.decode_label_sets(["x", "y"], logits, ["a", "b", "c"])
    assert (first.label, second.label) == (("a", "b"), ("c",))
    assert second.probabilities == pytest.approx((0.0, 0.0001234, 1.0), abs=1e-7)
    assert labels.decode_label_sets(["x"], logits[:1], ["a", "b", "c"], threshold=0.9)[0].label == ()


def test_numbers_and_choices() -> None:
    assert labels.decode_numbers(["x"], np.array([[2.5]])) == [LabelPrediction("x", 2.5)]
    assert labels.decode_choices(["x"], np.array([[1.0, 1.0]])) == [ChoicePrediction("x", 0, (0.5, 0.5))]


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((2, 3)), r"logits have shape \(2, 3\), expected \(1, 2\)"),
        (np.zeros((1, 2, 2)), r"logits have shape \(1, 2, 2\)"),
        (np.array([[0.0, np.nan]]), r"logits\[0, 1\] is nan: the network's output is not finite"),
    ],
)
def test_logits_that_do_not_fit_are_named(logits: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        labels.decode_labels(["x"], logits, ["a", "b"])


def test_a_table_has_one_line_a_row_whatever_a_text_holds(tmp_path: Path) -> None:
    rows = [("0", "good", 0.25, None, "one\ttwo\nthree"), ("1", ("a", "b"), 1.5, "x", "四")]
    lines = [{"id": "0", "prediction": "好"}, {"id": "1", "prediction": ["a", "b"]}]
    written = label_files.write_predictions(
        tmp_path, ("id", "prediction", "probability", "label", "text"), rows, lines, {"MRPC.tsv": "index\n"}
    )
    assert [path.name for path in written] == ["predictions.tsv", "predictions.jsonl", "MRPC.tsv"]
    table = written[0].read_text(encoding="utf-8").split("\n")
    assert table[1:] == ["0\tgood\t0.25\t\tone two three", "1\ta, b\t1.5\tx\t四", ""]
    assert [json.loads(line) for line in written[1].read_text(encoding="utf-8").splitlines()] == lines
