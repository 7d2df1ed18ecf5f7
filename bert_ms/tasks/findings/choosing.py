"""Which examples a report shows, and how much of their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from bert_ms.tasks.findings.kinds import Mark, Part

T = TypeVar("T")

MOST_CHARACTERS = 600
_LONGEST_WORD = 30


def matched(examples: Sequence[Any], predictions: Sequence[Any], gold: str) -> list[tuple[Any, Any]]:
    """Examples whose answer is known, each with its prediction, in the order of the examples.

    Args:
        examples: records with an `id`.
        predictions: records with an `id`.
        gold: the attribute that holds an example's answer; None where it is not known.
    """
    by_id: Mapping[str, Any] = {prediction.id: prediction for prediction in predictions}
    return [(e, by_id[e.id]) for e in examples if e.id in by_id and getattr(e, gold) is not None]


def evenly(items: Sequence[T], count: int) -> list[T]:
    """So many items from all over the sequence, the same ones each time."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * index + 1) * len(items) // (2 * count)] for index in range(count)]


def excerpt(text: str, most: int = MOST_CHARACTERS) -> tuple[Part, ...]:
    """The beginning of a text, cut between words; in Chinese, between characters."""
    text = text.strip()
    if len(text) <= most:
        return (Part(text),)
    space = text.rfind(" ", most - _LONGEST_WORD, most)
    return (Part(text[: space if space > 0 else most] + " …"),)


def passages(text: str, pair: str | None) -> tuple[tuple[Part, ...], ...]:
    """A text, or a pair of texts, to be shown."""
    return (excerpt(text),) if pair is None else (excerpt(text), excerpt(pair))


def mark_of(*, is_gold: bool, is_predicted: bool) -> Mark:
    """What something is that may be gold, predicted, or both."""
    if is_gold:
        return "both" if is_predicted else "gold"
    return "predicted" if is_predicted else ""
