"""SQuAD scores: equal to the official scripts' on published predictions, clear about malformed files."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import DataError
from bert_ms.metrics import squad
from bert_ms.records import Answer, QuestionExample
from tests.support import shared_data

OFFICIAL = {
    "v1.1_bert_ensemble.part.json": (86.5595, 92.4092),
    "v1.1_electra_small_predictions.part.json": (77.8420, 85.7243),
    "v1.1_logreg_baseline.part.json": (40.3341, 51.0176),
    "v2.0_bert_single.part.json": (78.4117, 81.3733),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_scores_of_published_predictions_equal_the_official_scripts(name: str) -> None:
    dataset = "squad/dev-v1.1.part.json" if name.startswith("v1.1") else "squad/dev-v2.0.reconstructed.part.json"
    scores = squad.evaluate(shared_data(dataset), shared_data(f"squad_pred/{name}"))
    assert (round(scores["exact_match"], 4), round(scores["f1"], 4)) == OFFICIAL[name]


def _dataset(*questions: tuple[str, list[str]], negatives: bool = False) -> dict[str, Any]:
    qas = []
    for identity, texts in questions:
        entry: dict[str, Any] = {"id": identity, "question": "?"}
        entry["answers"] = [{"text": text, "answer_start": 0} for text in texts]
        if negatives:
            entry["is_impossible"] = not texts
        qas.append(entry)
    return {"version": "x", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": qas}]}]}


def test_normalisation_ignores_case_punctuation_articles_and_spaces() -> None:
    scores = squad.evaluate(_dataset(("a", ["the  Co-op, Ltd."])), {"a": "An coop\tltd"})
    assert scores == {"exact_match": 100.0, "f1": 100.0, "total": 1}


def test_f1_counts_repeated_words_and_takes_the_best_gold_answer() -> None:
    scores = squad.evaluate(_dataset(("a", ["x", "red red blue"])), {"a": "red red red green"})
    assert scores["f1"] == pytest.approx(100 * 2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert scores["exact_match"] == 0.0


def test_missing_prediction_counts_zero_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    data = _dataset(("a", ["x"]), ("b", ["y"]))
    with caplog.at_level(logging.WARNING):
        assert squad.evaluate(data, {"a": "x"}) == {"exact_match": 50.0, "f1": 50.0, "total": 2}
    assert "1 of 2 questions have no prediction and count 0 (first: b)" in caplog.text


def test_no_predictions_at_all_score_zero() -> None:
    assert squad.evaluate(_dataset(("a", ["x"])), {})["f1"] == 0.0


def test_v2_tells_answered_from_unanswerable() -> None:
    data = _dataset(("a", ["x y"]), ("b", []), ("c", []), negatives=True)
    scores = squad.evaluate(data, {"a": "x", "b": "", "c": "wrong"})
    assert scores["HasAns_exact"] == 0.0
    assert scores["HasAns_f1"] == pytest.approx(200 / 3)
    assert (scores["NoAns_exact"], scores["NoAns_f1"]) == (50.0, 50.0)
    assert (scores["total"], scores["HasAns_total"], scores["NoAns_total"]) == (3, 1, 2)
    assert scores["exact_match"] == pytest.approx(100 / 3)


def test_v2_missing_prediction_of_unanswerable_question_counts_zero() -> None:
    data = _dataset(("a", ["x"]), ("b", []), negatives=True)
    scores = squad.evaluate(data, {"a": "x"})
    assert (scores["exact_match"], scores["NoAns_exact"], scores["total"]) == (50.0, 0.0, 2)


def test_v2_article_alone_is_no_answer() -> None:
    data = _dataset(("a", []), ("b", ["x"]), negatives=True)
    scores = squad.evaluate(data, {"a": "the", "b": "the"})
    assert (scores["NoAns_exact"], scores["NoAns_f1"], scores["HasAns_f1"]) == (100.0, 100.0, 0.0)


def test_best_threshold_equals_trying_every_threshold() -> None:
    golds = {"a": ["x"], "b": [], "c": ["y z"], "d": [], "e": ["w"]}
    predictions = {"a": "x", "b": "no", "c": "y", "d": "", "e": "v"}
    odds = {"a": -3.0, "b": -1.0, "c": 0.5, "d": 2.0, "e": -2.0}
    data = _dataset(*golds.items(), negatives=True)
    scores = squad.evaluate(data, predictions, odds)
    tried = [squad.evaluate(data, predictions, odds, na_threshold=t) for t in [*odds.values(), -9.0]]
    assert scores["best_f1"] == pytest.approx(max(t["f1"] for t in tried))
    assert scores["best_exact"] == pytest.approx(max(t["exact_match"] for t in tried))
    chosen = squad.evaluate(data, predictions, odds, na_threshold=scores["best_f1_thresh"])
    assert chosen["f1"] == pytest.approx(scores["best_f1"])


def test_threshold_silences_answers_above_it_only() -> None:
    data = _dataset(("a", ["x"]), ("b", []), negatives=True)
    predictions, odds = {"a": "x", "b": "no"}, {"a": 1.0, "b": 1.5}
    assert squad.evaluate(data, predictions, odds, na_threshold=1.0)["exact_match"] == 100.0
    assert squad.evaluate(data, predictions, odds, na_threshold=0.9)["exact_match"] == 50.0


def test_examples_score_as_their_file() -> None:
    examples = [
        QuestionExample("a", "?", "x y", (Answer("x", 0),)),
        QuestionExample("b", "?", "x y", (), is_impossible=True),
    ]
    data = _dataset(("a", ["x"]), ("b", []), negatives=True)
    predictions = {"a": "x y", "b": ""}
    assert squad.evaluate(examples, predictions) == squad.evaluate(data, predictions)


def test_each_question_has_its_score() -> None:
    scores = squad.evaluate_each(_dataset(("a", ["x"]), ("b", ["y"])), {"a": "x", "b": "z"})
    assert scores == {"a": (1.0, 1.0), "b": (0.0, 0.0)}


def test_chinese_counts_characters_in_a_row() -> None:
    data = _dataset(("a", ["光荣和ω-force"]), ("b", ["1963年《罗马》"]))
    assert squad.evaluate(data, {"a": "光荣和Ω-Force", "b": "1963年 罗马"}, language="zh")["f1"] == 100.0
    # 4 characters of 6 and of 4 in one run; "京北" would not count, though both characters are there
    part = squad.evaluate(_dataset(("a", ["中国北京大学"])), {"a": "北京大学"}, language="zh")
    assert part == {"exact_match": 0.0, "f1": pytest.approx(80.0), "total": 1}
    assert squad.evaluate(_dataset(("a", ["北京"])), {"a": "京北"}, language="zh")["f1"] == pytest.approx(50.0)


def test_language_is_found_from_the_gold_answers() -> None:
    chinese, english = _dataset(("a", ["中国北京大学"])), _dataset(("a", ["Peking University"]))
    assert squad.evaluate(chinese, {"a": "北京大学"}, language="auto")["f1"] == pytest.approx(80.0)
    assert squad.evaluate(english, {"a": "the Peking"}, language="auto")["f1"] == pytest.approx(200 / 3)


def test_threshold_found_gives_the_best_f1_even_when_that_is_silence() -> None:
    data = _dataset(("a", ["x"]), ("b", []), ("c", []), negatives=True)
    predictions, odds = {"a": "wrong", "b": "no", "c": "no"}, {"a": -9.0, "b": -8.0, "c": -7.0}
    best = squad.evaluate(data, predictions, odds)
    assert (best["best_f1"], best["best_f1_thresh"]) == (pytest.approx(200 / 3), 0.0)
    found = squad.search_threshold(data, predictions, odds)
    assert squad.evaluate(data, predictions, odds, na_threshold=found)["f1"] == pytest.approx(best["best_f1"])


@pytest.mark.parametrize("name", ["zh/DRCD_dev.json", "zh/cmrc2018_trial_squadstyle.json"])
def test_gold_answers_of_chinese_sets_score_100(name: str) -> None:
    content = json.loads(shared_data(name).read_text(encoding="utf-8"))
    paragraphs = itertools.chain.from_iterable(article["paragraphs"] for article in content["data"])
    gold = {qa["id"]: qa["answers"][0]["text"] for paragraph in paragraphs for qa in paragraph["qas"]}
    scores = squad.evaluate(content, gold, language="zh")
    assert len(gold) > 900
    assert (scores["exact_match"], scores["f1"]) == (100.0, 100.0)


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


BROKEN = {
    '{"data": [': "is not JSON: Expecting value at line 1, column 11",
    "[]": "expected a JSON object at the top of data set, found a list",
    "{}": "expected a list at data, found nothing",
    '{"data": [{"paragraphs": [{"qas": {}}]}]}': "expected a list at data[0].paragraphs[0].qas, found an object",
    '{"data": [{"paragraphs": [{"qas": [{"id": 7}]}]}]}': "expected a text at data[0].paragraphs[0].qas[0].id",
    '{"data": [{"paragraphs": [{"qas": [{"id": "q", "answers": [{}]}]}]}]}':
        "expected a text at data[0].paragraphs[0].qas[0].answers[0].text (question q), found nothing",
}  # fmt: skip


@pytest.mark.parametrize("content", BROKEN)
def test_malformed_data_set_is_refused_with_its_place(tmp_path: Path, content: str) -> None:
    path = _write(tmp_path / "dev.json", content)
    with pytest.raises(DataError) as caught:
        squad.evaluate(path, {"a": "x"})
    assert BROKEN[content] in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("predictions", "text"),
    [
        (
            {"a": ["x"]},
            "the prediction of 'a' is a list, expected a text ('' for no answer). This looks like an n-best",
        ),
        ({"a": None}, "the prediction of 'a' is nothing"),
        ({"other": "x"}, "none of the 1 predictions belongs to a question of this data set (its first id is 'a'"),
    ],
)
def test_malformed_predictions_are_refused(predictions: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError) as caught:
        squad.evaluate(_dataset(("a", ["x"])), predictions)
    assert text in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"predictions .*none\.json cannot be read: No such file"):
        squad.evaluate(_dataset(("a", ["x"])), tmp_path / "none.json")


def test_threshold_without_odds_and_incomplete_odds_are_refused() -> None:
    data = _dataset(("a", ["x"]), ("b", []), negatives=True)
    with pytest.raises(DataError, match=r"na_threshold 0\.5 was given without null_odds"):
        squad.evaluate(data, {"a": "x"}, na_threshold=0.5)
    with pytest.raises(DataError, match="null odds are missing for 1 predicted questions \\(first: 'b'\\)"):
        squad.evaluate(data, {"a": "x", "b": ""}, {"a": 1.0})
    with pytest.raises(DataError, match="null odds of 'a' are nan, expected a finite number"):
        squad.evaluate(data, {"a": "x"}, {"a": float("nan")})


def test_unknown_language_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="unknown language 'fr': Known: auto, en, zh"):
        squad.evaluate(_dataset(("a", ["x"])), {"a": "x"}, language="fr")


def test_what_is_no_data_set_is_refused() -> None:
    with pytest.raises(DataError, match="a data set is a SQuAD file, its content or examples, not nothing"):
        squad.evaluate(None, {})  # type: ignore[arg-type]
