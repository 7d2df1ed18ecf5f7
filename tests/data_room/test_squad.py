"""Files in SQuAD's format: what is read, and how what cannot be read is explained."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bert_ms.data import squad
from bert_ms.errors import DataError
from bert_ms.records import Answer
from tests.support import shared_data

CONTEXT = "A red fox saw a red hen. The fox ran."
GOOD: dict[str, Any] = {
    "version": "1.1",
    "data": [
        {
            "title": "Fox",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {"id": "1", "question": "What ran?", "answers": [{"text": "fox", "answer_start": 29}]},
                        {"id": "2", "question": "What was seen?", "answers": [{"text": "red hen", "answer_start": 16}]},
                    ],
                }
            ],
        }
    ],
}


def _file(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "data.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def _changed(place: str, value: Any = None) -> dict[str, Any]:
    """GOOD with the value at `place` (keys between slashes) replaced, or removed without a value."""
    content = copy.deepcopy(GOOD)
    *way, last = [int(key) if key.isdigit() else key for key in place.split("/")]
    parent: Any = content
    for key in way:
        parent = parent[key]
    if value is None:
        del parent[last]
    else:
        parent[last] = value
    return content


PARAGRAPH = "data/0/paragraphs/0"
QUESTION = f"{PARAGRAPH}/qas/0"
ANSWER = f"{QUESTION}/answers/0"


def test_a_file_becomes_examples(tmp_path: Path) -> None:
    first, second = squad.read(_file(tmp_path, GOOD))
    assert (first.id, first.question, first.context, first.title) == ("1", "What ran?", CONTEXT, "Fox")
    assert first.answers == (Answer("fox", 29),)
    assert second.answers == (Answer("red hen", 16),)
    assert not squad.load(_file(tmp_path, GOOD)).with_negatives


def test_version_2_is_recognised_and_negatives_can_be_left_out(tmp_path: Path) -> None:
    content = _changed(QUESTION, {"id": "1", "question": "What sat?", "answers": [], "is_impossible": True})
    path = _file(tmp_path, content)
    loaded = squad.load(path)
    assert loaded.with_negatives
    assert [example.is_impossible for example in loaded.examples] == [True, False]
    without = squad.load(path, with_negatives=False)
    assert [example.id for example in without.examples] == ["2"]
    assert not without.with_negatives
    assert squad.load(_file(tmp_path, GOOD), with_negatives=True).with_negatives


def test_the_limit_counts_questions(tmp_path: Path) -> None:
    assert [example.id for example in squad.read(_file(tmp_path, GOOD), limit=1)] == ["1"]


def test_answers_may_be_missing_where_they_are_not_known(tmp_path: Path) -> None:
    (first, _) = squad.read(_file(tmp_path, _changed(f"{QUESTION}/answers")))
    assert first.answers == () and not first.is_impossible


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"data\.json is empty, expected JSON"),
        (b" \n ", "is empty, expected JSON"),
        (b'{"data": [\n  {"a": }]}', r"not valid JSON: Expecting value in line 2, column 9, near"),
        (b'{"data": []', "not valid JSON: Expecting ',' delimiter in line 1, column 12"),
        (b'{"a": 1}\n{"a": 2}', "not valid JSON: Extra data in line 2, column 1"),
        (b'{"data": "\xff"}', "is not UTF-8: invalid start byte at byte 10"),
        (b"[" * 200_000, "nested too deeply|not valid JSON"),
        (b'{"data": ' + b"9" * 5000 + b"}", "cannot be read: it holds a number of thousands of digits"),
        (b"[1, 2]", r"key 'data' is missing at the top; found a list\. Expected SQuAD: "),
        (b'{"train": [], "dev": []}', r"key 'data' is missing at the top; found keys \['dev', 'train'\]"),
        (b'{"data": []}', "holds no questions"),
        (b'{"data": {}}', "data is an object, expected a list"),
        (_changed("data/0/paragraphs"), r"data\[0\] has no 'paragraphs'; found keys \['title'\]\. Expected SQuAD: "),
        (_changed(f"{PARAGRAPH}/context"), r"data\[0\]\.paragraphs\[0\] has no 'context'; found keys \['qas'\]"),
        (_changed(f"{PARAGRAPH}/context", 3), r"paragraphs\[0\]\.context is 3 \(a number\), expected text"),
        (_changed(f"{PARAGRAPH}/context", " "), r"paragraphs\[0\]\.context is empty, expected text"),
        (_changed(f"{PARAGRAPH}/qas", "x"), r"paragraphs\[0\]\.qas is text, expected a list"),
        (_changed(QUESTION, "What?"), r"qas\[0\] is text, expected an object with 'id'"),
        (_changed(f"{QUESTION}/id"), r"qas\[0\] has no 'id'; found keys \['answers', 'question'\]"),
        (_changed(f"{QUESTION}/id", 7), r"qas\[0\]\.id is 7 \(a number\), expected text"),
        (_changed(f"{QUESTION}/id", "2"), r"qas\[1\] has id '2', which data\[0\]\.paragraphs\[0\]\.qas\[0\] has"),
        (_changed(f"{QUESTION}/question", ["x"]), r"qas\[0\]\.question is \['x'\] \(a list\), expected text"),
        (_changed(f"{QUESTION}/question", "  "), r"qas\[0\] \(id 1\): the question is empty"),
        (_changed(f"{QUESTION}/question", "a\ud800"), r"qas\[0\]\.question is no valid Unicode: it holds half"),
        (_changed(f"{QUESTION}/is_impossible", "no"), r"qas\[0\]\.is_impossible is 'no', expected true or false"),
        (_changed(f"{QUESTION}/is_impossible", True), r"qas\[0\] \(id 1\) has answers and is_impossible true"),
        (_changed(f"{QUESTION}/answers", {"text": []}), r"qas\[0\]\.answers is an object, expected a list"),
        (_changed(f"{ANSWER}/text"), r"answers\[0\] has no 'text'; found keys \['answer_start'\]"),
        (_changed(f"{ANSWER}/text", ""), r"answers\[0\]\.text is empty, expected text"),
        (_changed(f"{ANSWER}/answer_start"), r"answers\[0\]\.answer_start is missing\."),
        (_changed(f"{ANSWER}/answer_start", "29"), r"answers\[0\]\.answer_start is '29', expected a whole number"),
        (_changed(f"{ANSWER}/answer_start", 28), r"answer 'fox' is not at answer_start 28, where ' fo' stands"),
        (_changed(f"{ANSWER}/answer_start", 9), r"answer_start 9, where ' sa'.*nearest occurrence is at 6"),
        (_changed(f"{ANSWER}/answer_start", 900), r"900, where nothing \(outside\).*nearest occurrence is at 29"),
        (_changed(f"{ANSWER}/answer_start", -3), r"-3, where nothing \(outside\).*nearest occurrence is at 6"),
        (_changed(f"{ANSWER}/text", "cat"), r"\(id 1\): answer 'cat' does not occur in the context at all"),
    ],
)  # fmt: skip
def test_a_malformed_file_is_explained(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        squad.read(_file(tmp_path, content))
    assert "data.json" in str(raised.value)
    assert len(str(raised.value)) < 1500


def test_missing_files_and_directories_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json does not exist"):
        squad.read(tmp_path / "gone.json")
    _file(tmp_path, GOOD)
    with pytest.raises(DataError, match=r"is a directory, expected a JSON file: one of \['data\.json'\]\?"):
        squad.read(tmp_path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, GOOD)
    monkeypatch.setattr(squad, "MAX_CONTEXT", 10)
    with pytest.raises(DataError, match=r"paragraphs\[0\]\.context has 37 characters, expected at most 10"):
        squad.read(path)
    with pytest.raises(DataError, match=r"bytes, expected at most 50: split it into several files"):
        squad.read_json(path, max_bytes=50)


def test_a_context_of_100k_characters_is_read(tmp_path: Path) -> None:
    content = _changed(f"{PARAGRAPH}/context", "x" * 100_000 + CONTEXT)
    content["data"][0]["paragraphs"][0]["qas"].pop()
    content["data"][0]["paragraphs"][0]["qas"][0]["answers"][0]["answer_start"] = 100_029
    (example,) = squad.read(_file(tmp_path, content))
    assert len(example.context) == 100_037


def test_what_to_do_with_bad_answers_is_chosen_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _file(tmp_path, _changed(f"{ANSWER}/answer_start", 28))
    fixed, _ = squad.read(path, on_bad_answer="fix")
    assert fixed.answers == (Answer("fox", 29),)
    assert "1 question cannot be used as it is" in caplog.text
    assert [example.id for example in squad.read(path, on_bad_answer="drop")] == ["2"]
    kept, _ = squad.read(path, on_bad_answer="keep")
    assert kept.answers == (Answer("fox", 28),)
    with pytest.raises(DataError, match="on_bad_answer is 'ignore', expected one of error, fix, drop, keep"):
        squad.read(path, on_bad_answer="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "count", "with_negatives"),
    [
        ("squad/train-v1.1.partial_merged.json", 5101, False),
        ("squad/dev-v1.1.part.json", 7961, False),
        ("squad/train-v2.0.first10articles.json", 4719, True),
        ("squad/dev-v2.0.reconstructed.part.json", 9885, True),
        ("zh/DRCD_dev.json", 3524, False),
    ],
)
def test_published_files_are_read_whole(file: str, count: int, with_negatives: bool) -> None:
    loaded = squad.load(shared_data(file))
    assert len(loaded.examples) == count
    assert loaded.with_negatives is with_negatives


def test_the_faults_of_a_published_file_are_listed_and_can_be_mended() -> None:
    path = shared_data("zh/cmrc2018_trial_squadstyle.json")
    with pytest.raises(DataError, match=r"7 questions or answers cannot be used as they are:(.|\n)*and 4 more"):
        squad.read(path)
    counts = {how: len(squad.read(path, on_bad_answer=how)) for how in ("fix", "drop", "keep")}
    assert counts == {"fix": 1000, "drop": 995, "keep": 1002}
