"""A passage cut to what stands around the gold answers and the predicted one, with these marked in it."""

from __future__ import annotations

from itertools import pairwise

from bert_ms.records import QuestionExample, QuestionPrediction
from bert_ms.tasks.findings.choosing import mark_of
from bert_ms.tasks.findings.kinds import Part

Span = tuple[int, int]

_AROUND = 160  # characters shown before and after a marked span
_LONGEST_WORD = 30


def marked_passage(example: QuestionExample, prediction: QuestionPrediction) -> list[Part]:
    """The parts of the passage around the answers, gold and predicted text marked."""
    context = example.context
    gold = sorted({(a.start, a.start + len(a.text)) for a in example.answers if a.text})
    predicted = [span for span in [predicted_span(prediction)] if span]
    shown = _excerpts([*gold, *predicted], context) or [(0, min(len(context), 2 * _AROUND))]
    parts: list[Part] = []
    for low, high in shown:
        if low > 0:
            parts.append(Part(" … " if parts else "… "))
        parts += _marked(context, low, high, gold, predicted)
    if shown[-1][1] < len(context):
        parts.append(Part(" …"))
    return parts


def predicted_span(prediction: QuestionPrediction) -> Span | None:
    """Where the predicted answer stands in the passage; None for no answer."""
    text = prediction.text
    found = next((c for c in prediction.candidates if c.text == text and c.end > c.start), None)
    return (found.start, found.end) if text and found else None


def _excerpts(spans: list[Span], context: str) -> list[Span]:
    """Surroundings of the spans, cut between words, those that touch joined."""
    joined: list[Span] = []
    for low, high in sorted(_around(span, context) for span in spans):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def _around(span: Span, context: str) -> Span:
    """The span with what stands around it; where there is no space near (as in Chinese), cut between characters."""
    low, high = max(span[0] - _AROUND, 0), min(span[1] + _AROUND, len(context))
    if low > 0 and (space := context.find(" ", low, low + _LONGEST_WORD)) >= 0:
        low = space + 1
    if high < len(context) and (space := context.rfind(" ", high - _LONGEST_WORD, high)) >= 0:
        high = space
    return low, high


def _marked(context: str, low: int, high: int, gold: list[Span], predicted: list[Span]) -> list[Part]:
    """One excerpt, cut at every border of a span, so that overlapping marks never nest."""
    borders = {low, high} | {at for span in (*gold, *predicted) for at in span if low < at < high}
    parts = []
    for begin, end in pairwise(sorted(borders)):
        is_gold, is_predicted = (any(a <= begin and end <= b for a, b in spans) for spans in (gold, predicted))
        parts.append(Part(context[begin:end], mark_of(is_gold=is_gold, is_predicted=is_predicted)))
    return parts
