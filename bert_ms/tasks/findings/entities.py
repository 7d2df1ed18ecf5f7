"""Entities of a sentence, gold beside predicted: which belong together, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bert_ms.records import TagsPrediction, TokenExample
from bert_ms.tags.entities import Entity, entities

Outcome = Literal["right", "wrong type", "wrong border", "wrong border and type", "missed", "spurious"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong type", "wrong border", "wrong border and type", "missed", "spurious")


class Match(NamedTuple):
    """A gold entity with the predicted one that overlaps it most; None where one of them has no other."""

    gold: Entity | None
    predicted: Entity | None

    @property
    def outcome(self) -> Outcome:
        """What became of the gold entity, or what the predicted one is."""
        if self.predicted is None:
            return "missed"
        if self.gold is None:
            return "spurious"
        if _place(self.gold) == _place(self.predicted):
            return "right" if self.gold.type == self.predicted.type else "wrong type"
        return "wrong border" if self.gold.type == self.predicted.type else "wrong border and type"


@dataclass(frozen=True)
class Sentence:
    """A sentence with its entities compared."""

    example: TokenExample
    prediction: TagsPrediction
    matches: tuple[Match, ...]

    def has(self, outcome: Outcome) -> bool:
        """Whether something came out so in this sentence."""
        return any(match.outcome == outcome for match in self.matches)


def compared(example: TokenExample, prediction: TagsPrediction) -> Sentence:
    """A sentence whose tags are known, with what was predicted."""
    assert example.tags is not None
    return Sentence(example, prediction, matches(entities(example.tags), entities(prediction.tags)))


def matches(gold: Sequence[Entity], predicted: Sequence[Entity]) -> tuple[Match, ...]:
    """Each entity once: those on the same words together first, then those that overlap most; by place."""
    pairs = [(_overlap(g, p), g, p) for g in gold for p in predicted if _overlap(g, p)]
    pairs.sort(key=_rank)
    left_gold, left_predicted = dict.fromkeys(gold), dict.fromkeys(predicted)
    found: list[Match] = []
    for _, one, other in pairs:
        if one in left_gold and other in left_predicted:
            del left_gold[one], left_predicted[other]
            found.append(Match(one, other))
    found += [Match(one, None) for one in left_gold] + [Match(None, other) for other in left_predicted]
    return tuple(sorted(found, key=lambda match: [_place(entity) for entity in match if entity is not None]))


def _rank(pair: tuple[int, Entity, Entity]) -> tuple[bool, int, bool, tuple[int, int], tuple[int, int]]:
    """Pairs on the same words first, then those with more words in common, then those of one type."""
    overlap, gold, predicted = pair
    places = _place(gold), _place(predicted)
    return places[0] != places[1], -overlap, gold.type != predicted.type, *places


def _place(entity: Entity) -> tuple[int, int]:
    return entity.start, entity.end


def _overlap(one: Entity, other: Entity) -> int:
    return max(min(one.end, other.end) - max(one.start, other.start), 0)
