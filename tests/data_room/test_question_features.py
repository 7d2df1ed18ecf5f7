"""Windows and labels equal Hugging Face's and google-research's."""

from __future__ import annotations

import dataclasses
import json
import zlib
from typing import Any

import numpy as np
import pytest

from bert_ms.data import question_features, squad
from bert_ms.data.question_features import featurize
from bert_ms.errors import DataError
from bert_ms.records import Answer, Features, QuestionExample
from bert_ms.tokenization import Tokenizer
from tests.support import golden, shared_data

QUESTION_TOO_LONG = 52  # for 96 tokens; Hugging Face's tokenizer refuses it too


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(shared_data("vocab/bert-base-uncased-vocab.txt"))


@pytest.fixture(scope="module")
def examples() -> list[QuestionExample]:
    return squad.read(golden("squad_features/squad.json"))


def _expected(name: str) -> dict[str, Any]:
    return json.loads(golden(f"squad_features/{name}.json").read_text())


def _row(features: Features, row: int) -> slice:
    return slice(int(features.row_splits[row]), int(features.row_splits[row + 1]))


def _crc(ids: np.ndarray) -> int:
    return zlib.crc32(json.dumps(ids.tolist()).encode())


def _equal_rows(features: Features, expected: list[dict[str, Any]], index: list[int]) -> None:
    """`index`: the golden's number of each of our examples."""
    assert len(features) == len(expected) > 70
    assert features.example_index is not None
    assert [index[i] for i in features.example_index] == [e["example"] for e in expected]
    assert features.lengths().tolist() == [e["length"] for e in expected]
    assert [_crc(features.input_ids[_row(features, r)]) for r in range(len(features))] == [e["crc32"] for e in expected]


@pytest.mark.parametrize("name", ["hf_384_128", "hf_96_32"])
def test_overlap_windows_equal_hugging_face(name: str, examples: list[QuestionExample], tokenizer: Tokenizer) -> None:
    golden_data = _expected(name)
    index = [i for i in range(len(examples)) if i not in {skipped for skipped, _ in golden_data["skipped"]}]
    features = featurize(
        [examples[i] for i in index], tokenizer, max_length=golden_data["max_length"], stride=golden_data["stride"],
        windows="overlap", max_query_length=None, with_labels=True, keep_offsets=True,
    )  # fmt: skip
    expected = golden_data["features"]
    _equal_rows(features, expected, index)
    assert features.labels["start_positions"].tolist() == [e["start"] for e in expected]
    assert features.labels["end_positions"].tolist() == [e["end"] for e in expected]
    assert features.offsets is not None and features.in_context is not None
    for row, e in enumerate(expected):
        inside = features.in_context[_row(features, row)]
        assert int(inside.argmax()) == e["context_first"]
        assert features.token_type_ids[_row(features, row)].tolist() == [0] * e["context_first"] + [1] * (
            e["length"] - e["context_first"]
        )
        if "input_ids" in e:
            assert features.input_ids[_row(features, row)].tolist() == e["input_ids"]
            assert features.offsets[_row(features, row)][inside == 1].tolist() == e["offsets_context"]


@pytest.mark.parametrize("name", ["google_384_128_train", "google_96_32_train"])
def test_step_windows_and_labels_equal_google(name: str, examples: list[QuestionExample], tokenizer: Tokenizer) -> None:
    golden_data = _expected(name)
    features = featurize(
        examples, tokenizer, max_length=golden_data["max_seq_length"], stride=golden_data["doc_stride"],
        windows="step", max_query_length=golden_data["max_query_length"], with_labels=True,
    )  # fmt: skip
    expected = golden_data["features"]
    _equal_rows(features, expected, list(range(len(examples))))
    assert features.labels["start_positions"].tolist() == [e["start"] for e in expected]
    assert features.labels["end_positions"].tolist() == [e["end"] for e in expected]
    assert features.offsets is None and features.in_context is None


@pytest.mark.parametrize("name", ["google_384_128_eval", "google_96_32_eval"])
def test_step_windows_for_evaluation_equal_google(
    name: str, examples: list[QuestionExample], tokenizer: Tokenizer
) -> None:
    golden_data = _expected(name)
    features = featurize(
        examples, tokenizer, max_length=golden_data["max_seq_length"], stride=golden_data["doc_stride"],
        windows="step", max_query_length=golden_data["max_query_length"],
    )  # fmt: skip
    _equal_rows(features, golden_data["features"], list(range(len(examples))))
    assert not features.labels
    assert features.offsets is not None and features.in_context is not None
    for row, e in enumerate(golden_data["features"]):
        inside = features.in_context[_row(features, row)]
        assert int(inside.argmax()) == e["context_first"]
        assert features.offsets[_row(features, row)][inside == 0].max() == 0


def test_a_question_that_leaves_no_room_is_named(examples: list[QuestionExample], tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"question 'public-craft-7' takes 88 of max_length 96 tokens, which leaves 5"):
        featurize(examples, tokenizer, max_length=96, stride=32, max_query_length=None)


def test_the_result_does_not_depend_on_workers(examples: list[QuestionExample], tokenizer: Tokenizer) -> None:
    options: dict[str, Any] = {"max_length": 96, "stride": 16, "keep_offsets": True, "with_labels": True}
    one, all_cores = (featurize(examples, tokenizer, workers=workers, **options) for workers in (1, 0))
    for field in dataclasses.fields(Features):
        a, b = getattr(one, field.name), getattr(all_cores, field.name)
        if field.name == "labels":
            assert a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
        else:
            assert np.array_equal(a, b), field.name
    assert one.input_ids.dtype == one.token_type_ids.dtype == one.labels["start_positions"].dtype == np.int32


def _question(context: str, answer: str | None = None, start: int = -1, id_: str = "q") -> QuestionExample:
    answers = () if answer is None else (Answer(answer, context.index(answer) if start < 0 else start),)
    return QuestionExample(id_, "Which one?", context, answers, is_impossible=answer is None)


def _answer_tokens(features: Features, tokenizer: Tokenizer, row: int = 0) -> list[str]:
    begin = int(features.row_splits[row])
    first, last = (int(features.labels[name][row]) for name in ("start_positions", "end_positions"))
    return tokenizer.tokens(features.input_ids[begin + first : begin + last + 1])


@pytest.mark.parametrize("windows", question_features.WINDOWS)
def test_an_answer_in_the_last_token_of_a_window_is_labelled_there(windows: Any, tokenizer: Tokenizer) -> None:
    features = featurize([_question("one two three", "three")], tokenizer, windows=windows, with_labels=True)
    assert _answer_tokens(features, tokenizer) == ["three"]


def test_step_drops_answers_that_are_not_in_their_words(tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    # a no-break space separates words for str.split but not for google-research
    questions = [
        _question("nine\u00a0ten eleven", "nine\u00a0ten", id_="bad"),
        _question("nine ten", "ten", id_="good"),
    ]
    features = featurize(questions, tokenizer, windows="step", with_labels=True)
    assert features.example_index is not None
    assert features.example_index.tolist() == [1]
    assert features.meta["dropped"] == ["bad"]
    assert "1 examples left out, their answer is not in the passage's words: bad" in caplog.text
    kept = featurize(questions, tokenizer, windows="overlap", with_labels=True)
    assert len(kept) == len(featurize(questions, tokenizer, windows="step")) == 2


def test_step_narrows_an_answer_inside_a_word(tokenizer: Tokenizer) -> None:
    features = featurize([_question("From 1895-1943 it stood", "1895")], tokenizer, windows="step", with_labels=True)
    assert _answer_tokens(features, tokenizer) == ["1895"]


def test_labels_need_an_answer_or_a_mark(tokenizer: Tokenizer) -> None:
    unknown = dataclasses.replace(_question("one two"), is_impossible=False)
    with pytest.raises(DataError, match="question 'q' has no answer to learn, and is_impossible is not set"):
        featurize([unknown], tokenizer, with_labels=True)
    assert len(featurize([unknown], tokenizer)) == 1


def test_a_passage_without_tokens_keeps_its_example(tokenizer: Tokenizer) -> None:
    for windows in question_features.WINDOWS:
        features = featurize([_question("\u200d")], tokenizer, windows=windows)
        assert features.lengths().tolist() == [3 + 3]


def test_a_context_of_100k_characters_is_covered_by_windows(tokenizer: Tokenizer) -> None:
    context = "word " * 20_000 + "answer"
    features = featurize([_question(context, "answer")], tokenizer, with_labels=True, keep_offsets=True)
    assert features.offsets is not None and features.in_context is not None
    covered = np.unique(features.offsets[features.in_context == 1][:, 0])
    assert len(covered) == 20_001
    assert int(features.lengths().max()) == 384
    assert _answer_tokens(features, tokenizer, len(features) - 1) == ["answer"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"windows": "both"}, "windows is 'both', expected one of overlap, step"),
        ({"max_length": 3}, "max_length is 3, expected more than 3"),
        ({"stride": -1}, "stride is -1, expected at least 0"),
        ({"windows": "step", "stride": 0}, "stride is 0, expected at least 1"),
        ({"max_query_length": 0}, "max_query_length is 0, expected at least 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str, tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=message):
        featurize([_question("one")], tokenizer, **arguments)
