"""What there is to show of questions: scores by kind of question, and a few answered and missed ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bert_ms.metrics import squad
from bert_ms.records import QuestionExample, QuestionPrediction
from bert_ms.tasks.findings.choosing import evenly
from bert_ms.tasks.findings.kinds import Exhibit, Finding, GalleryFinding, TableFinding
from bert_ms.tasks.findings.passages import marked_passage

_KINDS = ("how many", "how much", "how long", "who", "whom", "whose", "what", "which", "when", "where", "why", "how")
_CHINESE_KINDS = {
    "为什么": "why", "為什麼": "why", "多少": "how many", "几": "how many", "幾": "how many", "谁": "who", "誰": "who",
    "什么时候": "when", "何时": "when", "何時": "when", "哪里": "where", "哪裡": "where", "哪": "which",
    "什么": "what", "什麼": "what", "何": "what", "怎": "how", "如何": "how",
}  # fmt: skip
_WORD_OR_CHARACTER = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")
_LENGTHS = ((1, "1 word"), (2, "2 words"), (5, "3 to 5"), (10, "6 to 10"), (10**9, "more than 10"))
_MOST_SHOWN, _MOST_OTHERS = 4, 3
_MEANINGS = {"gold": "gold answer", "predicted": "predicted answer", "both": "predicted, and a gold answer"}


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


def findings(
    examples: Sequence[QuestionExample],
    predictions: Sequence[QuestionPrediction],
    *,
    language: str = "en",
    with_negatives: bool | None = None,
) -> list[Finding]:
    """Scores by question word and by length of the answer; questions answered, partly right and missed.

    Args:
        examples: with their gold answers.
        predictions: one a question; questions without are left out.
        language: of the answers, as `metrics.squad.evaluate` takes it.
        with_negatives: questions may have no answer; None finds out.
    """
    questions = score_each(examples, predictions, language=language, with_negatives=with_negatives)
    if not questions:
        return []
    groups = [("By question word", by_question_word(questions)), ("By gold answer", by_answer_length(questions))]
    return [*(_group_table(title, some) for title, some in groups), *galleries(questions)]


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


def galleries(questions: Sequence[ScoredQuestion], *, most: int = _MOST_SHOWN) -> list[GalleryFinding]:
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
            exhibits = [_exhibit(question) for question in evenly(members, most)]
            found.append(
                GalleryFinding(
                    title=title,
                    section="Questions to look at",
                    exhibits=exhibits,
                    count=len(members),
                    meanings=_MEANINGS,
                )
            )
    return found


def _exhibit(question: ScoredQuestion) -> Exhibit:
    example, prediction = question.example, question.prediction
    gold = " / ".join(dict.fromkeys(answer.text for answer in example.answers)) or "no answer"
    share = next((c.probability for c in prediction.candidates if c.text == prediction.text), None)
    facts = [("Predicted", prediction.text or "no answer"), ("Gold", gold)]
    others = [c for c in prediction.candidates if c.text != prediction.text][:_MOST_OTHERS]
    if others:
        facts.append(("Next best", "; ".join(f"{c.text or 'no answer'} ({c.probability:.0%})" for c in others)))
    return Exhibit(
        origin=example.title.replace("_", " "),
        heading=example.question.strip(),
        passages=[marked_passage(example, prediction)],
        facts=facts,
        badges=[f"F1 {100 * question.f1:.0f}"] + ([f"probability {share:.0%}"] if share is not None else []),
    )


def _group_table(title: str, groups: Sequence[Group]) -> TableFinding:
    return TableFinding(
        title=title,
        section="By kind of question",
        columns=["Kind", "Questions", "Exact", "F1"],
        rows=[[group.name, group.count, group.exact, group.f1] for group in groups],
        bar="F1",
    )


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
