"""A passage with the gold answers and the predicted answer marked in it, as HTML."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from bert_ms.training.report.questions import ScoredQuestion

Span = tuple[int, int]

_AROUND = 160  # characters shown before and after a marked span
_LONGEST_WORD = 30
_TITLES = {"gold": "gold answer", "predicted": "predicted answer", "gold predicted": "predicted, and a gold answer"}


def marked_passage(question: ScoredQuestion) -> str:
    """The parts of the passage around the answers; gold and predicted text each in a mark with a title."""
    context = question.example.context
    gold = sorted({(a.start, a.start + len(a.text)) for a in question.example.answers if a.text})
    predicted = [span for span in [predicted_span(question)] if span]
    shown = _excerpts([*gold, *predicted], context) or [(0, min(len(context), 2 * _AROUND))]
    html: list[str] = []
    for low, high in shown:
        html.append("… " if low > 0 and not html else " … " if html else "")
        html.append(_marked(context, low, high, gold, predicted))
    if shown and shown[-1][1] < len(context):
        html.append(" …")
    return "".join(html)


def predicted_span(question: ScoredQuestion) -> Span | None:
    """Where the predicted answer stands in the passage; None for no answer."""
    text = question.prediction.text
    found = next((c for c in question.prediction.candidates if c.text == text and c.end > c.start), None)
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


def _marked(context: str, low: int, high: int, gold: list[Span], predicted: list[Span]) -> str:
    """One excerpt, cut at every border of a span, so that overlapping marks never nest."""
    borders = {low, high} | {at for span in (*gold, *predicted) for at in span if low < at < high}
    html = []
    for begin, end in pairwise(sorted(borders)):
        kinds = [
            name
            for name, spans in (("gold", gold), ("predicted", predicted))
            if any(a <= begin and end <= b for a, b in spans)
        ]
        text, kind = escape(context[begin:end]), " ".join(kinds)
        html.append(f'<mark class="{kind}" title="{_TITLES[kind]}">{text}</mark>' if kinds else text)
    return "".join(html)
