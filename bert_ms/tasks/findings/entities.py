"""Entities of a sentence, gold beside predicted: which belong together, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from bert_ms.records import TagsPrediction, TokenExample

Outcome = Literal["right", "wrong type", "wrong border", "wrong border and type", "missed", "spurious"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong type", "wrong border", "wrong border and type", "missed", "spurious")


class Entity(NamedTuple):
    """Words `start` to `end` (not included) of a sentence, and what they name."""

    start: int
    end: int
    type: str

    @property
    def length(self) -> int:
        """In words."""
        return self.end - self.start


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
        if self.gold[:2] == self.predicted[:2]:
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


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of tags in BIO form; an `I-` that continues nothing begins one.

    Source: seqeval's `get_entities`, whose default mode scores so.
    """
    found: list[Entity] = []
    for at, tag in enumerate(tags):
        prefix, _, name = tag.partition("-")
        if prefix not in ("B", "I"):
            continue
        if prefix == "I" and found and found[-1].end == at and found[-1].type == name:
            found[-1] = found[-1]._replace(end=at + 1)
        else:
            found.append(Entity(at, at + 1, name))
    return found


def matches(gold: Sequence[Entity], predicted: Sequence[Entity]) -> tuple[Match, ...]:
    """Each entity once: those on the same words together first, then those that overlap most; by place."""
    pairs = [(_overlap(g, p), g, p) for g in gold for p in predicted if _overlap(g, p)]
    pairs.sort(key=lambda pair: (pair[1][:2] != pair[2][:2], -pair[0], pair[1].type != pair[2].type, pair[1], pair[2]))
    left_gold, left_predicted = dict.fromkeys(gold), dict.fromkeys(predicted)
    found: list[Match] = []
    for _, one, other in pairs:
        if one in left_gold and other in left_predicted:
            del left_gold[one], left_predicted[other]
            found.append(Match(one, other))
    found += [Match(one, None) for one in left_gold] + [Match(None, other) for other in left_predicted]
    return tuple(sorted(found, key=lambda match: match.gold or match.predicted or Entity(0, 0, "")))


def _overlap(one: Entity, other: Entity) -> int:
    return max(min(one.end, other.end) - max(one.start, other.start), 0)
