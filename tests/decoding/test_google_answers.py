"""The style of google-research's run_squad.py, against what that script wrote."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from bert_ms.data import question_features, squad
from bert_ms.decoding.google_answers import widest_context
from bert_ms.decoding.question_answering import decode
from bert_ms.errors import DataError
from bert_ms.records import Features, QuestionExample
from bert_ms.tokenization import Tokenizer
from tests.decoding.windows import example, windows
from tests.support import golden, shared_data


def _json(name: str) -> Any:
    return json.loads((golden("squad_features") / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def examples() -> list[QuestionExample]:
    return [QuestionExample(e["id"], e["question"], e["context"]) for e in _json("examples.json")]


@pytest.fixture(scope="module")
def features(examples: list[QuestionExample]) -> Features:
    """google's own windows; a token's offsets are those of its whole word, which is all that run_squad.py knows."""
    words = [[m.span() for m in re.finditer(r"[^ \t\r\n\u202f]+", e.context)] for e in examples]
    ids, splits, offsets, usable, owners = [], [0], [], [], []
    for window, training in zip(
        _json("google_96_32_eval.json")["features"], _json("google_96_32_train.json")["features"], strict=True
    ):
        before, inside = window["context_first"], [words[window["example"]][w] for w in window["token_to_orig"]]
        after = len(training["input_ids"]) - before - len(inside)
        ids += training["input_ids"]
        offsets += [(0, 0)] * before + inside + [(0, 0)] * after
        usable += [0] * before + [1] * len(inside) + [0] * after
        splits.append(len(ids))
        owners.append(window["example"])
    assert len(owners) == 334
    return Features(
        input_ids=np.array(ids, np.int32),
        token_type_ids=np.zeros(len(ids), np.int32),
        row_splits=np.array(splits, np.int64),
        example_index=np.array(owners, np.int32),
        offsets=np.array(offsets, np.int32),
        in_context=np.array(usable, np.int8),
    )


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_predictions_n_best_and_null_odds_equal_run_squad(
    examples: list[QuestionExample], features: Features, version: str
) -> None:
    logits = np.load(golden("squad_features") / "google_96_32_eval_logits.npz")
    vocabulary = shared_data("vocab/bert-base-uncased-vocab.txt").read_text(encoding="utf-8").split("\n")
    predictions = decode(
        examples, features, logits["start_logits"], logits["end_logits"], n_best=20, max_answer_length=30,
        with_negatives=version == "v2", null_threshold=0.0, style="google", vocabulary=vocabulary, do_lower_case=True,
    )  # fmt: skip
    assert {p.id: p.text for p in predictions} == _json(f"google_predictions_{version}.json")
    for prediction, expected in zip(predictions, _json(f"google_nbest_{version}.json").values(), strict=True):
        for candidate, entry in zip(prediction.candidates, expected, strict=False):
            assert candidate.text == entry["text"]
            assert (candidate.start_logit, candidate.end_logit) == (entry["start_logit"], entry["end_logit"])
            assert candidate.probability == pytest.approx(entry["probability"], abs=1e-12)
    if version == "v2":
        assert {p.id: p.null_score_diff for p in predictions} == pytest.approx(_json("google_null_odds_v2.json"), abs=0)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_our_own_windows_give_the_same_predictions(version: str) -> None:
    vocabulary = shared_data("vocab/bert-base-uncased-vocab.txt")
    logits = np.load(golden("squad_features") / "google_96_32_eval_logits.npz")
    loaded = squad.load(golden("squad_features") / "squad.json", on_bad_answer="keep")
    made = question_features.featurize(
        loaded.examples, Tokenizer.from_vocab(vocabulary, do_lower_case=True), max_length=96, stride=32, windows="step",
        max_query_length=64, with_labels=False, workers=1,
    )  # fmt: skip
    predictions = decode(
        loaded.examples, made, logits["start_logits"], logits["end_logits"], with_negatives=version == "v2",
        style="google", vocabulary=vocabulary.read_text(encoding="utf-8").split("\n"),
    )  # fmt: skip
    assert {p.id: p.text for p in predictions} == _json(f"google_predictions_{version}.json")


def test_each_token_has_most_context_where_run_squad_says(features: Features) -> None:
    expected = _json("google_96_32_eval.json")["features"]
    owners = features.example_index
    assert owners is not None and features.in_context is not None
    for index in range(60):
        rows = np.flatnonzero(owners == index).tolist()
        for row, widest in zip(rows, widest_context(features, rows), strict=True):
            usable = features.in_context[features.row_splits[row] : features.row_splits[row + 1]] > 0
            assert "".join(map(str, widest[usable].astype(int))) == expected[row]["max_context"]


def test_every_token_has_its_widest_context_in_one_window() -> None:
    questions = [example(" ".join(f"w{i}" for i in range(30)))]
    made = windows(questions, [(0, 0, 12), (0, 8, 20), (0, 16, 28), (0, 28, 30)])
    tokens: list[int] = []
    assert made.offsets is not None
    for row, widest in enumerate(widest_context(made, range(4))):
        tokens += made.offsets[made.row_splits[row] : made.row_splits[row + 1]][widest][:, 0].tolist()
    assert len(tokens) == len(set(tokens)) == 30


def test_vocabulary_is_asked_for() -> None:
    questions = [example("a b")]
    made = windows(questions, [(0, 0, 2)])
    zeros = np.zeros(7, np.float32)
    with pytest.raises(DataError, match="give the tokenizer's vocabulary"):
        decode(questions, made, zeros, zeros, style="google")
