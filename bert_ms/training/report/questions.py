"""What a run answered and what it missed: scores by kind of question, and a few of them to look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bert_ms.metrics import squad
from bert_ms.records import QuestionExample, QuestionPrediction

_KINDS = ("how many", "how much", "how long", "who", "whom", "whose", "what", "which", "when", "where", "why", "how")
_CHINESE_KINDS = {
    "为什么": "why", "為什麼": "why", "多少": "how many", "几": "how many", "幾": "how many", "谁": "who", "誰": "who",
    "什么时候": "when", "何时": "when", "何時": "when", "哪里": "where", "哪裡": "where", "哪": "which",
    "什么": "what", "什麼": "what", "何": "what", "怎": "how", "如何": "how",
}  # fmt: skip
_WORD_OR_CHARACTER = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
_LENGTHS = ((1, "1 word"), (2, "2 words"), (5, "3 to 5"), (10, "6 to 10"), (10**9, "more than 10"))


@dataclass(frozen=True)
class ScoredQuestion:
    """A question with what was predicted and how it scored, each score 0 to 1."""

    example: QuestionExample
    prediction: QuestionPrediction
    exact: float
    f1: float


@dataclass(frozen=True)
class Group:
    """Mean scores of some questions, in percent."""

    name: str
    count: int
    exact: float
    f1: float


@dataclass(frozen=True)
class Gallery:
    """A few questions that went the same way."""

    title: str
    count: int
    shown: tuple[ScoredQuestion, ...]


def score_each(
    examples: Sequence[QuestionExample],
    predictions: Sequence[QuestionPrediction],
    *,
    language: str = "en",
    with_negatives: bool | None = None,
) -> list[ScoredQuestion]:
    """Examples with their predictions and scores, in the order of the examples; those without prediction left out."""
    by_id = {prediction.id: prediction for prediction in predictions}
    texts = {prediction.id: prediction.text for prediction in predictions}
    scores = squad.evaluate_each(examples, texts, language=language, with_negatives=with_negatives)
    return [ScoredQuestion(e, by_id[e.id], *scores[e.id]) for e in examples if e.id in by_id]


def by_question_word(questions: Sequence[ScoredQuestion]) -> list[Group]:
    """Scores by the question word that comes first in the question, the most frequent first."""
    return sorted(_groups(questions, lambda q: question_word(q.example.question)), key=lambda group: -group.count)


def by_answer_length(questions: Sequence[ScoredQuestion]) -> list[Group]:
    """Scores by the words (Chinese: characters) of the shortest gold answer, short ones first, no answer last."""
    order = [name for _, name in _LENGTHS] + ["no answer"]
    return sorted(_groups(questions, _answer_length), key=lambda group: order.index(group.name))


def question_word(question: str) -> str:
    """The kind of question, by the question word that stands first.

    >>> question_word("In what year did it begin?"), question_word("How many were there?"), question_word("Name it.")
    ('what', 'how many', 'other')
    """
    lowered = question.lower()
    found = [(match.start(), -len(kind), kind) for kind in _KINDS if (match := re.search(rf"\b{kind}\b", lowered))]
    found += [(at, -len(word), kind) for word, kind in _CHINESE_KINDS.items() if (at := question.find(word)) >= 0]
    return min(found)[2] if found else "other"


def galleries(questions: Sequence[ScoredQuestion], *, most: int = 4) -> list[Gallery]:
    """Questions to look at: answered, partly right, missed, and for v2.0 the two ways of being wrong about "no answer".

    They are taken evenly from the whole data set, the same ones each time.

    Args:
        questions: all that were scored.
        most: of each gallery.
    """
    kinds: list[tuple[str, Callable[[ScoredQuestion], bool]]] = [
        ("Answered exactly", lambda q: q.exact == 1 and bool(q.prediction.text)),
        ("Partly right", lambda q: q.exact < 1 and q.f1 > 0),
        ("Missed", lambda q: q.f1 == 0 and bool(q.prediction.text) and bool(q.example.answers)),
        ("Left unanswered, though there is an answer", lambda q: not q.prediction.text and bool(q.example.answers)),
        ("Answered, though there is no answer", lambda q: bool(q.prediction.text) and not q.example.answers),
        ("Rightly left unanswered", lambda q: not q.prediction.text and not q.example.answers),
    ]
    found = []
    for title, belongs in kinds:
        members = [question for question in questions if belongs(question)]
        if members:
            found.append(Gallery(title, len(members), tuple(_evenly(members, most))))
    return found


def _evenly(items: Sequence[ScoredQuestion], count: int) -> Iterable[ScoredQuestion]:
    if len(items) <= count:
        return items
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count)]


def _groups(questions: Sequence[ScoredQuestion], key: Callable[[ScoredQuestion], str]) -> list[Group]:
    members: dict[str, list[ScoredQuestion]] = {}
    for question in questions:
        members.setdefault(key(question), []).append(question)
    return [
        Group(name, len(some), 100 * sum(q.exact for q in some) / len(some), 100 * sum(q.f1 for q in some) / len(some))
        for name, some in members.items()
    ]


def _answer_length(question: ScoredQuestion) -> str:
    if not question.example.answers:
        return "no answer"
    words = min(len(_WORD_OR_CHARACTER.findall(answer.text)) for answer in question.example.answers)
    return next(name for most, name in _LENGTHS if words <= most)
