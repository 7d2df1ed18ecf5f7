"""Prediction files: of the official form, and whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bert_ms.decoding.answer_files import write_predictions
from bert_ms.errors import DataError
from bert_ms.records import AnswerCandidate, QuestionPrediction

ANSWERED = QuestionPrediction(
    "q1", "東京", (AnswerCandidate("東京", 3, 5, 0.75, 2.0, 1.0), AnswerCandidate("", 0, 0, 0.25, 1.0, 0.5)), -1.5
)
SILENT = QuestionPrediction("q2", "", (AnswerCandidate("", 0, 0, 1.0, 1.0, 0.5),), 4.0)


def test_files_have_the_official_form(tmp_path: Path) -> None:
    written = write_predictions(tmp_path / "run", [ANSWERED, SILENT], with_negatives=True)
    contents = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in written}
    assert contents["predictions.json"] == {"q1": "東京", "q2": ""}
    assert contents["null_odds.json"] == {"q1": -1.5, "q2": 4.0}
    assert contents["nbest_predictions.json"]["q1"][0] == {
        "text": "東京", "probability": 0.75, "start_logit": 2.0, "end_logit": 1.0,
    }  # fmt: skip
    assert sorted(os.listdir(tmp_path / "run")) == ["nbest_predictions.json", "null_odds.json", "predictions.json"]


def test_v1_writes_no_null_odds(tmp_path: Path) -> None:
    write_predictions(tmp_path, [ANSWERED])
    assert sorted(os.listdir(tmp_path)) == ["nbest_predictions.json", "predictions.json"]


def test_failure_leaves_the_old_files_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_predictions(tmp_path, [ANSWERED])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot be written: No space left on device"):
        write_predictions(tmp_path, [SILENT])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_predictions_made_without_negatives_have_no_null_odds(tmp_path: Path) -> None:
    plain = QuestionPrediction("q3", "x", ())
    with pytest.raises(DataError, match="prediction of 'q3' has no null_score_diff"):
        write_predictions(tmp_path, [plain], with_negatives=True)
    assert not list(tmp_path.iterdir())
