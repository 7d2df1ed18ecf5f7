"""A sentence in words, put together again, with gold and predicted entities marked in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bert_ms.tags.entities import Entity
from bert_ms.tasks.findings.choosing import mark_of
from bert_ms.tasks.findings.entities import Sentence
from bert_ms.tasks.findings.kinds import Part

MEANINGS: dict[str, str] = {
    "both": "right",
    "gold": "gold entity, not found",
    "predicted": "found, but no gold entity",
    "wrong": "found with another type",
}
_MOST_WORDS, _AROUND = 120, 25


def marked_sentence(sentence: Sentence, joiner: str = " ") -> list[Part]:
    """The words with their entities and `joiner` between them; of a long sentence, what stands around the entities.

    A word in a gold and in a predicted entity is marked as both; where their types differ, as wrong, with both types
    beside it. An entity's type stands after its last word.
    """
    words = sentence.example.words
    gold = [match.gold for match in sentence.matches if match.gold is not None]
    predicted = [match.predicted for match in sentence.matches if match.predicted is not None]
    parts: list[Part] = []
    for low, high in _shown(len(words), [*gold, *predicted]):
        if low > 0:
            parts.append(Part(" … " if parts else "… "))
        parts += _marked(words, (low, high), gold, predicted, joiner)
        if high == len(words):
            break
    else:
        parts.append(Part(" …"))
    return parts


def _shown(count: int, entities: Sequence[Entity]) -> list[tuple[int, int]]:
    """The whole sentence; or of a long one, the surroundings of its entities, those that touch joined."""
    if count <= _MOST_WORDS:
        return [(0, count)]
    kept: list[tuple[int, int]] = []
    for start, end in sorted((entity.start, entity.end) for entity in entities) or [(0, 1)]:
        low, high = max(start - _AROUND, 0), min(end + _AROUND, count)
        if kept and low <= kept[-1][1]:
            kept[-1] = (kept[-1][0], max(high, kept[-1][1]))
        else:
            kept.append((low, high))
    return kept


def _marked(
    words: Sequence[str], shown: tuple[int, int], gold: Sequence[Entity], predicted: Sequence[Entity], joiner: str
) -> list[Part]:
    """Some words, cut at every border of an entity, so that marks never nest."""
    low, high = shown
    borders = {low, high} | {at for e in (*gold, *predicted) for at in (e.start, e.end) if low < at < high}
    parts: list[Part] = []
    for begin, end in pairwise(sorted(borders)):
        one = next((e for e in gold if e.start <= begin and end <= e.end), None)
        other = next((e for e in predicted if e.start <= begin and end <= e.end), None)
        mark = mark_of(is_gold=one is not None, is_predicted=other is not None)
        if one is not None and other is not None and one.type != other.type:
            mark = "wrong"
        _add(parts, Part(joiner if begin > low else ""))
        _add(parts, Part(joiner.join(words[begin:end]), mark, _label(one, other, end)))
    return parts


def _add(parts: list[Part], part: Part) -> None:
    """Append a part; plain text goes on with the plain text before it."""
    if part.mark:
        parts.append(part)
    elif parts and not parts[-1].mark:
        parts[-1] = Part(parts[-1].text + part.text)
    elif part.text:
        parts.append(part)


def _label(gold: Entity | None, predicted: Entity | None, end: int) -> str:
    """The types of the entities that end here; gold before predicted where they differ."""
    names = [e.type for e in (gold, predicted) if e is not None and e.end == end]
    return " → ".join(dict.fromkeys(names))
