"""The ways in which tags mark entities: which one a data set uses, and all of them as BIO."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from bert_ms.tags.entities import OUTSIDE, bio, entities, split

# Prefixes that mark an entity's first, inner, last and only word.
PREFIXES: dict[str, str] = {"bio": "BI", "iob1": "BI", "bioes": "BIES", "bmes": "BMES"}
# As people call the same things elsewhere: BMES, BILOU.
_USUAL = {"M": "I", "L": "E", "U": "S"}
_KNOWN = frozenset("BIESMLU")


def is_tag(text: str) -> bool:
    """Whether a text is a tag of any scheme: `O`, or a prefix, a hyphen and a type."""
    return text == OUTSIDE or (text[:1] in _KNOWN and text[1:2] == "-" and len(text) > 2)


def detect(sequences: Iterable[Sequence[str]]) -> str:
    """The scheme that tags are written in, by their prefixes, and by whether entities begin with `I-`."""
    prefixes: set[str] = set()
    is_iob1 = False
    for tags in sequences:
        before = OUTSIDE
        for tag in tags:
            prefixes.add(tag[:1])
            is_iob1 |= tag[:1] == "I" and before == OUTSIDE
            before = tag
    if "M" in prefixes:
        return "bmes"
    if prefixes & set("ESLU"):
        return "bioes"
    return "iob1" if is_iob1 else "bio"


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """The same entities in BIO form; of sequences that make no sense those that `entities` reads.

    >>> to_bio(["B-PER", "M-PER", "E-PER", "S-LOC", "I-ORG"])
    ('B-PER', 'I-PER', 'I-PER', 'B-LOC', 'B-ORG')
    """
    if not any(tag != OUTSIDE for tag in tags):
        return tuple(tags)
    return bio(entities([_usual(tag) for tag in tags]), len(tags))


def impossible(tags: Sequence[str], scheme: str) -> int | None:
    """Where a sequence first breaks the rules of its scheme; None where it keeps them.

    IOB1 has no sequence of `B-` and `I-` that could not be read, so that only its prefixes are looked at.
    """
    allowed = {OUTSIDE, *PREFIXES[scheme], *(p for p, usual in _USUAL.items() if scheme == "bioes" and usual != "I")}
    is_open, type_before = False, ""
    for place, tag in enumerate(tags):
        if tag == OUTSIDE and not is_open:
            continue
        prefix, type_ = split(tag)
        if prefix not in allowed:
            return place
        prefix = _USUAL.get(prefix, prefix)
        goes_on = prefix in ("I", "E")
        if scheme == "bio" and goes_on and not (is_open and type_ == type_before):
            return place
        if scheme in ("bioes", "bmes") and (goes_on != is_open or (goes_on and type_ != type_before)):
            return place
        is_open = prefix in ("B", "I")
        type_before = type_
    return len(tags) - 1 if scheme in ("bioes", "bmes") and is_open else None


def label_set(types: Iterable[str]) -> tuple[str, ...]:
    """The labels of a network that marks entities of these types: `O`, then `B-` and `I-` of each type in order.

    >>> label_set(["PER", "LOC"])
    ('O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER')
    """
    return (OUTSIDE, *(f"{prefix}-{type_}" for type_ in sorted(set(types)) for prefix in "BI"))


def is_bio(labels: Collection[str]) -> bool:
    """Whether labels need no translation into BIO."""
    return all(label[:1] in ("O", "B", "I") for label in labels)


def _usual(tag: str) -> str:
    prefix = tag[:1]
    return _USUAL[prefix] + tag[1:] if prefix in _USUAL else tag
