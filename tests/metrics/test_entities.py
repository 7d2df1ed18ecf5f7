"""Scores of entities equal seqeval's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bert_ms.errors import DataError
from bert_ms.metrics import entities as metrics
from tests.support import golden

CASES = json.loads(golden("seqeval/cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_type_and_average_equals_seqeval(case: dict[str, Any]) -> None:
    assert len(CASES) == 37
    report = metrics.report(case["gold"], case["predicted"])
    for mode in ("default", "strict"):
        if mode not in case:
            continue
        assert report[mode].keys() == case[mode].keys()
        for name, expected in case[mode].items():
            found = report[mode][name]
            ours = [found["precision"], found["recall"], found["f1"], found["support"]]
            assert ours == pytest.approx(expected, abs=1e-9), (mode, name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_decides_is_the_micro_average(case: dict[str, Any]) -> None:
    scores = metrics.evaluate(case["gold"], case["predicted"])
    names = {"f1": "micro average", "macro_f1": "macro average", "weighted_f1": "weighted average"}
    for name, average in names.items():
        assert scores[name] == pytest.approx(case["default"][average][2], abs=1e-9)
    if "strict" in case:
        assert scores["strict_f1"] == pytest.approx(case["strict"]["micro average"][2], abs=1e-9)
    assert scores["accuracy"] == pytest.approx(case["accuracy"], abs=1e-9)


def test_nothing_at_all_scores_nothing() -> None:
    scores = metrics.evaluate([["O", "O"]], [["O", "O"]])
    assert scores == {"f1": 0, "precision": 0, "recall": 0, "macro_f1": 0, "weighted_f1": 0, "strict_f1": 0,
                      "accuracy": 100.0, "entities": 0}  # fmt: skip


def test_sentences_of_other_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="sentence 1 has 2 tags, 1 are predicted"):
        metrics.evaluate([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="1 sentences are tagged, 2 predicted"):
        metrics.evaluate([["O"]], [["O"], ["O"]])
