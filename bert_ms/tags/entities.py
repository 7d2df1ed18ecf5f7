"""The entities that a sequence of tags marks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

OUTSIDE = "O"
_NO_TYPE = "_"
_ENDS = {("B", "B"), ("B", "S"), ("B", "O"), ("I", "B"), ("I", "S"), ("I", "O")}
_STARTS = {("E", "E"), ("E", "I"), ("S", "E"), ("S", "I"), ("O", "E"), ("O", "I")}


class Entity(NamedTuple):
    """Words `start` to `end`, the last exclusive, with the type that the tags gave them."""

    type: str
    start: int
    end: int


def split(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag: `B-creative-work` is ("B", "creative-work"), `O` is ("O", "_")."""
    return tag[:1], tag[1:].split("-", maxsplit=1)[-1] or _NO_TYPE


def entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of tags in BIO, IOB1 or BIOES form, whatever sense the sequence makes.

    An entity that begins with `I-` is one, and one whose type changes is two.

    >>> entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(type='PER', start=0, end=2), Entity(type='LOC', start=3, end=4)]

    Source: the rules of conlleval.pl as seqeval 1.2 has them (`get_entities`); agreement is tested.
    """
    found: list[Entity] = []
    before, type_before, start = OUTSIDE, "", 0
    for place, tag in enumerate((*tags, OUTSIDE)):
        if tag == OUTSIDE == before:
            continue
        prefix, type_ = split(tag)
        if _ends(before, prefix, type_before, type_):
            found.append(Entity(type_before, start, place))
        if _starts(before, prefix, type_before, type_):
            start = place
        before, type_before = prefix, type_
    return found


def strict_entities(tags: Sequence[str]) -> list[Entity]:
    """Entities of tags in BIO form that are as they must be: `B-` and what follows it as `I-` of the same type.

    >>> strict_entities(["B-PER", "I-PER", "O", "I-LOC"])
    [Entity(type='PER', start=0, end=2)]

    Source: seqeval 1.2, mode "strict" with the scheme IOB2; agreement is tested.
    """
    found: list[Entity] = []
    start = None
    type_ = ""
    for place, tag in enumerate((*tags, OUTSIDE)):
        prefix, its_type = tag[:1], tag[1:].strip("-") or _NO_TYPE
        if start is not None and not (prefix == "I" and its_type == type_):
            found.append(Entity(type_, start, place))
            start = None
        if prefix == "B":
            start, type_ = place, its_type
    return found


def bio(marked: Iterable[Entity], length: int) -> tuple[str, ...]:
    """Tags of `length` words in BIO form.

    >>> bio([Entity("PER", 1, 3)], 4)
    ('O', 'B-PER', 'I-PER', 'O')
    """
    tags = [OUTSIDE] * length
    for entity in marked:
        tags[entity.start : entity.end] = [f"I-{entity.type}"] * (entity.end - entity.start)
        tags[entity.start] = f"B-{entity.type}"
    return tuple(tags)


def _ends(before: str, prefix: str, type_before: str, type_: str) -> bool:
    """Whether an entity ends between two tags."""
    changes = before not in ("O", ".") and type_before != type_
    return before in ("E", "S") or (before, prefix) in _ENDS or changes


def _starts(before: str, prefix: str, type_before: str, type_: str) -> bool:
    """Whether an entity starts with the second of two tags."""
    changes = prefix not in ("O", ".") and type_before != type_
    return prefix in ("B", "S") or (before, prefix) in _STARTS or changes
