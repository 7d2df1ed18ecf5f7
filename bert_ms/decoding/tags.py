"""Tags of words from the logits of their tokens, and the entities in the text that they mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bert_ms.errors import DataError
from bert_ms.records import SILENT_WORDS, Features, TagsPrediction, TokenExample
from bert_ms.tags import schemes
from bert_ms.tags.entities import OUTSIDE, entities
from bert_ms.tags.viterbi import viterbi

__all__ = ["TaggedSpan", "best_labels", "decode", "place_words", "spans", "viterbi"]

_CHUNK = 256  # sentences whose paths are searched together


@dataclass(frozen=True)
class TaggedSpan:
    """An entity in a text: its type, its text, the characters from `start` to `end`, the last exclusive.

    Attributes:
        probability: mean of its words'.
    """

    type: str
    text: str
    start: int
    end: int
    probability: float


def decode(
    examples: Sequence[TokenExample],
    features: Features,
    logits: np.ndarray,
    labels: Sequence[str],
    *,
    transitions: np.ndarray | None = None,
) -> list[TagsPrediction]:
    """Tags of sentences from the logits of their rows.

    A word is judged by the token that `in_context` marks. Words without a token are `O`, but for blanks inside an
    entity, which belong to it. Tags in another scheme than BIO are translated.

    Args:
        examples: the sentences.
        features: their rows, made by `data.token_features`.
        logits: float32 [T, L], of a CRF [T, L + 2].
        labels: of the network, in order.
        transitions: float32 [L + 2, L + 2] of the CRF; each sentence then gets its best path, across its windows.
            None takes each word's best label.

    Raises:
        DataError: features made by something else, shapes that do not fit, logits that are not finite.
    """
    judging = _check(features, logits, labels, transitions)
    counts = np.array([len(example.words) for example in examples], np.int64)
    is_heard = np.ones(int(counts.sum()), bool)
    is_heard[_silent(features)] = False
    if len(judging) != is_heard.sum():
        raise DataError(f"these features judge {len(judging):,} words, the sentences have {int(is_heard.sum()):,}.")
    splits = np.concatenate([[0], np.cumsum(counts)])
    heard_splits = np.concatenate([[0], np.cumsum(is_heard)])[splits]
    ids = np.full(len(is_heard), -1, np.int64)
    probabilities = np.ones(len(is_heard))
    ids[is_heard], probabilities[is_heard] = best_labels(
        logits[judging], heard_splits, len(labels), transitions=transitions
    )
    translate = not schemes.is_bio(labels)
    predictions = []
    for example, begin, end in zip(examples, splits[:-1].tolist(), splits[1:].tolist(), strict=True):
        found = [OUTSIDE if number < 0 else labels[number] for number in ids[begin:end].tolist()]
        tags = schemes.to_bio(found) if translate else tuple(found)
        if (ids[begin:end] < 0).any():
            tags = _with_blanks(example.words, tags)
        predictions.append(TagsPrediction(example.id, tags, tuple(probabilities[begin:end].tolist())))
    return predictions


def best_labels(
    logits: np.ndarray, splits: np.ndarray, count: int, *, transitions: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each word, with its probability by the word's own logits.

    Args:
        logits: float [W, L], of a CRF [W, L + 2], words of all sentences one after the other.
        splits: int64 [sentences + 1], where each sentence's words begin.
        count: L.
        transitions: float [L + 2, L + 2] of the CRF, or None.

    Returns:
        int64 [W] and float64 [W].
    """
    own = logits[:, :count].astype(np.float64)
    best = own.argmax(-1) if transitions is None else _paths(logits, splits, transitions)
    exponents = np.exp(own - own.max(-1, keepdims=True, initial=-np.inf))
    shares = exponents / exponents.sum(-1, keepdims=True)
    return best, shares[np.arange(len(best)), best]


def place_words(words: Sequence[str], joiner: str = " ") -> tuple[str, list[tuple[int, int]]]:
    """The text that words make, with where each stands in it.

    >>> place_words(["in", "New", "York"])
    ('in New York', [(0, 2), (3, 6), (7, 11)])
    """
    places = []
    at = 0
    for word in words:
        places.append((at, at + len(word)))
        at += len(word) + len(joiner)
    return joiner.join(words), places


def spans(
    tags: Sequence[str], text: str, places: Sequence[tuple[int, int]], probabilities: Sequence[float]
) -> list[TaggedSpan]:
    """The entities that tags mark in a text.

    Args:
        tags: one a word, in BIO form.
        text: the text.
        places: of each word in the text, code points.
        probabilities: of each word.
    """
    found = []
    for entity in entities(tags):
        start, end = places[entity.start][0], places[entity.end - 1][1]
        mean = sum(probabilities[entity.start : entity.end]) / (entity.end - entity.start)
        found.append(TaggedSpan(entity.type, text[start:end], start, end, mean))
    return found


def _check(
    features: Features, logits: np.ndarray, labels: Sequence[str], transitions: np.ndarray | None
) -> np.ndarray:
    """The tokens that judge words."""
    if features.in_context is None or SILENT_WORDS not in features.meta:
        raise DataError("these features do not say which token judges which word: make them of sentences in words.")
    width = len(labels) + (0 if transitions is None else 2)
    expected = (len(features.input_ids), width)
    if logits.shape != expected:
        raise DataError(f"logits have shape {logits.shape}, expected {expected}: tokens, labels (and 2 of a CRF).")
    if transitions is not None and transitions.shape != (width, width):
        raise DataError(f"transitions have shape {transitions.shape}, expected {(width, width)}.")
    judging = np.flatnonzero(features.in_context)
    if not np.isfinite(logits[judging]).all():
        raise DataError("the network's logits are not finite.")
    return judging


def _silent(features: Features) -> np.ndarray:
    return np.array(features.meta[SILENT_WORDS], np.int64)


def _paths(logits: np.ndarray, splits: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """Best path of each sentence; those of similar length are searched together."""
    found = np.zeros(len(logits), np.int64)
    lengths = np.diff(splits)
    for rows in _chunks(lengths):
        inside = np.arange(int(lengths[rows].max())) < lengths[rows, None]
        padded = np.zeros((*inside.shape, logits.shape[-1]))
        words = np.concatenate([np.arange(splits[row], splits[row + 1]) for row in rows])
        padded[inside] = logits[words]
        found[words] = viterbi(padded, transitions, inside)[inside]
    return found


def _chunks(lengths: np.ndarray) -> Iterator[np.ndarray]:
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    for at in range(0, len(order), _CHUNK):
        yield order[at : at + _CHUNK]


def _with_blanks(words: Sequence[str], tags: Sequence[str]) -> tuple[str, ...]:
    """Tags, where blanks between two words of one entity are of it."""
    result = list(tags)
    for place, word in enumerate(words):
        if word.strip() or not 0 < place < len(words) - 1 or result[place] != OUTSIDE:
            continue
        after = next((at for at in range(place, len(words)) if words[at].strip()), place)
        inner = f"I-{schemes.split(result[place - 1])[1]}"
        if result[place - 1] != OUTSIDE and result[after] == inner:
            result[place] = inner
    return tuple(result)
