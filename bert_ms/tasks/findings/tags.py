"""What there is to show of named entities: scores by type and length, what is taken for what, marked sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from bert_ms.metrics.confusion import score_of
from bert_ms.records import TagsPrediction, TokenExample
from bert_ms.tags.entities import Entity
from bert_ms.tasks.findings.choosing import evenly, matched
from bert_ms.tasks.findings.entities import OUTCOMES, Match, Outcome, Sentence, compared
from bert_ms.tasks.findings.kinds import ConfusionFinding, Exhibit, Finding, GalleryFinding, Row, TableFinding
from bert_ms.tasks.findings.labels import MOST_IN_CARD
from bert_ms.tasks.findings.probabilities import calibration_chart
from bert_ms.tasks.findings.sentences import MEANINGS, marked_sentence

BY_ENTITY, TO_LOOK_AT = "By entity", "Sentences to look at"
_MOST_SHOWN = 3
_LENGTHS = ((1, "1 word"), (2, "2 words"), (3, "3 words"), (5, "4 to 5"), (10**9, "more than 5"))
_ALL, _NONE_FOUND, _NONE_THERE = "all", "missed", "spurious"


def findings(
    examples: Sequence[TokenExample], predictions: Sequence[TagsPrediction], *, joiner: str = " "
) -> list[Finding]:
    """Scores by type, confusion of types with missed and spurious entities, borders, lengths, sentences with mistakes.

    Args:
        examples: those whose tags are not known are left out.
        predictions: a tag for each word, with its probability.
        joiner: what stands between two words; nothing for Chinese characters.
    """
    sentences = [compared(example, prediction) for example, prediction in matched(examples, predictions, "tags")]
    pairs = [match for sentence in sentences for match in sentence.matches]
    if not pairs:
        return []
    types = sorted({entity.type for match in pairs for entity in match if entity is not None})
    found: list[Finding] = [_by_type(pairs, types), _confusion(pairs, types), _outcomes(pairs), _by_length(pairs)]
    return [*found, *_calibration(sentences), *_galleries(sentences, joiner)]


def _scores(pairs: Iterable[Match], belongs: Callable[[Entity], bool]) -> list[float]:
    """Gold and predicted entities that belong, then precision, recall and F1 in percent, as seqeval counts them."""
    gold, predicted, right = 0, 0, 0
    for match in pairs:
        gold += match.gold is not None and belongs(match.gold)
        predicted += match.predicted is not None and belongs(match.predicted)
        right += match.outcome == "right" and match.gold is not None and belongs(match.gold)
    score = score_of(right, gold, predicted)
    return [gold, predicted, 100 * score.precision, 100 * score.recall, 100 * score.f1]


def _by_type(pairs: Sequence[Match], types: Sequence[str]) -> TableFinding:
    rows: list[Row] = []
    for name in types:
        rows.append([name, *_scores(pairs, lambda entity, name=name: entity.type == name)])  # type: ignore[misc]
    return TableFinding(
        title="Scores by type",
        note="An entity is right when its type and both its borders are.",
        section=BY_ENTITY,
        columns=["Type", "Gold", "Found", "Precision", "Recall", "F1"],
        rows=[*rows, [_ALL, *_scores(pairs, lambda _: True)]],
        bar="F1",
        is_in_card=len(types) <= MOST_IN_CARD,
    )


def _length(entity: Entity) -> int:
    return entity.end - entity.start


def _by_length(pairs: Sequence[Match]) -> TableFinding:
    rows: list[Row] = []
    least = 1
    for most, name in _LENGTHS:
        scores = _scores(pairs, lambda entity, low=least, high=most: low <= _length(entity) <= high)  # type: ignore[misc]
        least = most + 1
        if scores[0] or scores[1]:
            rows.append([name, *scores])
    return TableFinding(
        title="Scores by length",
        section=BY_ENTITY,
        columns=["Length", "Gold", "Found", "Precision", "Recall", "F1"],
        rows=rows,
        bar="F1",
    )


def _confusion(pairs: Sequence[Match], types: Sequence[str]) -> ConfusionFinding:
    place = {name: at for at, name in enumerate(types)}
    counts: list[list[int | None]] = [[0] * (len(types) + 1) for _ in range(len(types) + 1)]
    counts[-1][-1] = None
    for match in pairs:
        row = len(types) if match.gold is None else place[match.gold.type]
        column = len(types) if match.predicted is None else place[match.predicted.type]
        counts[row][column] = (counts[row][column] or 0) + 1
    return ConfusionFinding(
        title="What is taken for what",
        note="Rows are gold types, columns predicted ones. Entities that overlap are counted as found here, wherever "
        "their borders are.",
        section=BY_ENTITY,
        rows=[*types, _NONE_THERE],
        columns=[*types, _NONE_FOUND],
        counts=counts,
    )


def _outcomes(pairs: Sequence[Match]) -> TableFinding:
    counts = Counter(match.outcome for match in pairs)
    return TableFinding(
        title="What became of them",
        note="Gold entities, and those found where there is none.",
        section=BY_ENTITY,
        columns=["Outcome", "Entities", "%"],
        rows=[[outcome, counts[outcome], 100 * counts[outcome] / len(pairs)] for outcome in OUTCOMES],
        bar="%",
    )


def _calibration(sentences: Sequence[Sentence]) -> list[Finding]:
    """Of entities that were found, by the least probability among their words."""
    confidence, is_right = [], []
    for sentence in sentences:
        if len(sentence.prediction.probabilities) != len(sentence.prediction.tags):
            return []
        for match in sentence.matches:
            if match.predicted is not None:
                confidence.append(min(sentence.prediction.probabilities[match.predicted.start : match.predicted.end]))
                is_right.append(match.outcome == "right")
    return [calibration_chart(np.array(confidence), np.array(is_right), of="entities found")] if confidence else []


def _galleries(sentences: Sequence[Sentence], joiner: str) -> list[Finding]:
    """Sentences by what went wrong in them, from all over the data, the same ones each time."""
    kinds: tuple[tuple[str, tuple[Outcome, ...]], ...] = (
        ("Missed", ("missed",)),
        ("Found where there is none", ("spurious",)),
        ("Wrong type", ("wrong type",)),
        ("Wrong border", ("wrong border", "wrong border and type")),
    )
    chosen = [(title, [s for s in sentences if any(map(s.has, outcomes))]) for title, outcomes in kinds]
    chosen.append(("All right", [s for s in sentences if s.matches and all(m.outcome == "right" for m in s.matches)]))
    return [
        GalleryFinding(
            title=title,
            section=TO_LOOK_AT,
            exhibits=[_exhibit(sentence, joiner) for sentence in evenly(members, _MOST_SHOWN)],
            count=len(members),
            meanings=MEANINGS,
        )
        for title, members in chosen
        if members
    ]


def _exhibit(sentence: Sentence, joiner: str) -> Exhibit:
    counts = Counter(match.outcome for match in sentence.matches)
    return Exhibit(
        origin=sentence.example.id,
        passages=[marked_sentence(sentence, joiner)],
        badges=[f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome]],
    )
