"""What a report shows of questions: each in the gallery of its outcome, answers marked in their passages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bert_ms.records import Answer, AnswerCandidate, QuestionExample, QuestionPrediction
from bert_ms.tasks.findings import GalleryFinding, Part, TableFinding
from bert_ms.tasks.findings.passages import marked_passage
from bert_ms.tasks.findings.questions import (
    ScoredQuestion,
    by_answer_length,
    by_question_word,
    findings,
    galleries,
    question_word,
    score_each,
)


def _question(
    identity: str, question: str, context: str, gold: str, predicted: str, *, impossible: bool = False
) -> tuple[QuestionExample, QuestionPrediction]:
    answers = () if impossible else (Answer(gold, context.index(gold)),)
    at = context.find(predicted)
    candidates = [AnswerCandidate(predicted, at, at + len(predicted), 0.75, 2.0, 1.0)] if predicted else []
    candidates.append(AnswerCandidate("other", 0, 1, 0.25, 1.0, 0.0))
    example = QuestionExample(identity, question, context, answers, impossible, "A_title")
    return example, QuestionPrediction(identity, predicted, tuple(candidates))


PASSAGE = "Émile met Zoë in 1963 in the old town of Łódź. They left by train."
CASES = [
    _question("1", "When did they meet?", PASSAGE, "1963", "1963"),
    _question("2", "In what town?", PASSAGE, "the old town of Łódź", "town of Łódź"),
    _question("3", "Who met?", PASSAGE, "Zoë", "train"),
    _question("4", "How many?", PASSAGE, "", "Zoë", impossible=True),
    _question("5", "Why?", PASSAGE, "They left", ""),
]
EXAMPLES, PREDICTIONS = [e for e, _ in CASES], [p for _, p in CASES]


@pytest.fixture
def questions() -> list[ScoredQuestion]:
    return score_each(EXAMPLES, PREDICTIONS)


def text(parts: list[Part]) -> str:
    return "".join(part.text for part in parts)


def test_gold_and_predicted_text_are_marked_in_the_passage() -> None:
    assert Part("1963", "both") in marked_passage(*CASES[0])
    partly = marked_passage(*CASES[1])
    assert partly[1:3] == [Part("the old ", "gold"), Part("town of Łódź", "both")]
    missed = marked_passage(*CASES[2])
    assert Part("Zoë", "gold") in missed and Part("train", "predicted") in missed
    assert text(partly) == PASSAGE


def test_long_passage_is_cut_around_the_answers() -> None:
    context = "a " * 3000 + "Zoë" + " b" * 3000 + " train" + " c" * 3000
    shown = text(marked_passage(*_question("1", "Who?", context, "Zoë", "train")))
    assert len(shown) < 1200
    assert shown.startswith("… ") and shown.endswith(" …") and shown.count("…") == 3


def test_passage_is_cut_between_words() -> None:
    context = " ".join(f"word{n}" for n in range(200))
    shown = text(marked_passage(*_question("1", "Which?", context, "word100", "word100"))).strip("… ")
    assert set(shown.split()) <= set(context.split())
    assert shown.split()[0] != "word0"


def test_each_question_stands_in_the_gallery_of_its_outcome(questions: list[ScoredQuestion]) -> None:
    found = {gallery.title: [exhibit.heading for exhibit in gallery.exhibits] for gallery in galleries(questions)}
    assert found == {
        "Answered exactly": ["When did they meet?"],
        "Partly right": ["In what town?"],
        "Missed": ["Who met?"],
        "Left unanswered, though there is an answer": ["Why?"],
        "Answered, though there is no answer": ["How many?"],
    }


def test_galleries_take_the_same_questions_from_all_over_the_data(questions: list[ScoredQuestion]) -> None:
    many = [replace(questions[0], example=replace(questions[0].example, question=str(n))) for n in range(100)]
    (gallery,) = galleries(many, most=4)
    assert [exhibit.heading for exhibit in gallery.exhibits] == ["12", "37", "62", "87"]
    assert gallery.count == 100


def test_scores_are_told_by_question_word_and_answer_length(questions: list[ScoredQuestion]) -> None:
    assert {(g.name, g.count, round(g.f1)) for g in by_question_word(questions)} == {
        ("when", 1, 100), ("what", 1, 86), ("who", 1, 0), ("how many", 1, 0), ("why", 1, 0),
    }  # fmt: skip
    assert [(g.name, g.count) for g in by_answer_length(questions)] == [
        ("1 word", 2), ("2 words", 1), ("3 to 5", 1), ("no answer", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "word"),
    [("By whom was it, and when?", "whom"), ("Somehow it is", "other"), ("它是谁写的？", "who"), ("为什么？", "why")],
)
def test_question_word_is_the_first_one(question: str, word: str) -> None:
    assert question_word(question) == word


def test_tables_come_before_galleries() -> None:
    found = findings(EXAMPLES, PREDICTIONS)
    kinds = [type(finding) for finding in found]
    assert kinds == [TableFinding] * 2 + [GalleryFinding] * 5
    assert [len(row) for row in found[0].rows] == [len(found[0].columns)] * 5
    assert findings([], []) == []


def test_an_exhibit_tells_answer_gold_and_the_next_best() -> None:
    gallery = next(f for f in findings(EXAMPLES, PREDICTIONS) if f.title == "Answered, though there is no answer")
    (exhibit,) = gallery.exhibits
    assert exhibit.origin == "A title"
    assert exhibit.facts == [("Predicted", "Zoë"), ("Gold", "no answer"), ("Next best", "other (25%)")]
    assert exhibit.badges == ["F1 0", "probability 75%"]
