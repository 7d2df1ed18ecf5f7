"""The best spans of every window, found for many windows at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bert_ms.errors import DataError
from bert_ms.records import Features

_CHUNK = 512  # windows looked at together; bounds the memory


class Spans(NamedTuple):
    """Candidate spans as columns, ordered by example, then best first.

    Attributes:
        example: int64, index of the example.
        start, end: int64, code points of the context, end exclusive.
        start_logit, end_logit: float64.
    """

    example: np.ndarray
    start: np.ndarray
    end: np.ndarray
    start_logit: np.ndarray
    end_logit: np.ndarray


@dataclass(frozen=True)
class LogitRows:
    """Logits that were checked against the features they were computed from.

    Attributes:
        features: the windows.
        example_index: int64 [rows].
        start, end: logits, float [T], or float [rows, S] as they came.
    """

    features: Features
    example_index: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of(cls, features: Features, start_logits: np.ndarray, end_logits: np.ndarray) -> LogitRows:
        """Check shapes and values.

        Raises:
            DataError: features without what decoding needs, shapes that do not fit, logits that are not finite.
        """
        lacking = [n for n in ("example_index", "offsets", "in_context") if getattr(features, n) is None]
        if lacking:
            raise DataError(f"these features were made without {', '.join(lacking)}: featurise again, keeping offsets.")
        rows, tokens = len(features), int(features.row_splits[-1])
        longest = int(features.lengths().max(initial=0))
        arrays = []
        for name, given in (("start_logits", start_logits), ("end_logits", end_logits)):
            array = np.asarray(given)
            fits = array.shape == (tokens,) if array.ndim == 1 else array.ndim == 2 and array.shape[0] == rows
            if not fits or (array.ndim == 2 and array.shape[1] < longest):
                raise DataError(
                    f"{name} has shape {array.shape}, but the features have {rows} rows, {tokens} tokens in all, the "
                    f"longest row {longest}: expected ({tokens},), or ({rows}, {longest} or more)."
                )
            if not np.isfinite(array).all():
                bad = np.argwhere(~np.isfinite(array))[0].tolist()
                raise DataError(f"{name}{bad} is {array[tuple(bad)]}: the network's output is not finite.")
            arrays.append(array)
        if arrays[0].shape != arrays[1].shape:
            raise DataError(f"start_logits {arrays[0].shape} and end_logits {arrays[1].shape} differ in shape.")
        assert features.example_index is not None
        return cls(features, features.example_index.astype(np.int64), *arrays)

    def first(self) -> tuple[np.ndarray, np.ndarray]:
        """Start and end logit of each row's first token, float64 [rows]; rows without a token give infinity."""
        filled = self.features.lengths() > 0
        result = []
        for array in (self.start, self.end):
            column = np.full(len(filled), np.inf)
            at = self.features.row_splits[:-1][filled]
            column[filled] = array[at] if array.ndim == 1 else array[filled, 0]
            result.append(column)
        return result[0], result[1]

    def null_scores(self, examples: int) -> list[tuple[float, float]]:
        """Start and end logit of "no answer" for each example, from the window where their sum is least."""
        start, end = self.first()
        order = np.lexsort((np.arange(len(start)), start + end, self.example_index))
        owners, firsts = np.unique(self.example_index[order], return_index=True)
        best = order[firsts]
        scores = [(0.0, 0.0)] * examples
        for owner, a, b in zip(owners.tolist(), start[best].tolist(), end[best].tolist(), strict=True):
            scores[owner] = (a, b)
        return scores

    def padded(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits of some rows side by side, with where each stands in the flat arrays.

        Returns:
            start and end, float64 [R, S], -inf where a token is no context; flat index, int64 [R, S].
        """
        splits, lengths = self.features.row_splits, self.features.lengths()
        column = np.arange(int(lengths[rows].max(initial=0)))
        inside = column < lengths[rows, None]
        flat = np.where(inside, splits[rows, None] + column, 0)
        assert self.features.in_context is not None
        usable = inside & (self.features.in_context[flat] > 0)
        if self.start.ndim == 1:
            start, end = self.start[flat], self.end[flat]
        else:
            start, end = self.start[rows, : len(column)], self.end[rows, : len(column)]
        return (
            np.where(usable, start.astype(np.float64), -np.inf),
            np.where(usable, end.astype(np.float64), -np.inf),
            flat,
        )


def best_spans(rows: LogitRows, *, n_best: int, max_answer_length: int) -> Spans:
    """The n best spans of each window, exactly: every start is tried with every end that its length allows.

    The n best spans of a window start at no more than n tokens, those with the n highest sums of start logit and best
    end logit in reach; only these are combined with all their ends.
    """
    parts = [_of_chunk(rows, chunk, n_best, max_answer_length) for chunk in _chunks(rows.features.lengths())]
    if not parts:
        return Spans(*(np.zeros(0, t) for t in (np.int64, np.int64, np.int64, np.float64, np.float64)))
    row, first, last, start_logit, end_logit = (np.concatenate(column) for column in zip(*parts, strict=True))
    example = rows.example_index[row]
    order = np.lexsort((last, first, row, -(start_logit + end_logit), example))
    offsets = rows.features.offsets
    assert offsets is not None
    starts, ends = offsets[first, 0].astype(np.int64), offsets[last, 1].astype(np.int64)
    return Spans(example[order], starts[order], ends[order], start_logit[order], end_logit[order])


def probabilities(scores: list[float]) -> list[float]:
    """Softmax of a few scores, in float64."""
    if not scores:
        return []
    exponents = np.exp(np.asarray(scores) - max(scores))
    return (exponents / exponents.sum()).tolist()


def _chunks(lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of similar length together, so that little is padded."""
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    for at in range(0, len(order), _CHUNK):
        yield order[at : at + _CHUNK]


def _of_chunk(rows: LogitRows, chunk: np.ndarray, n_best: int, max_length: int) -> tuple[np.ndarray, ...]:
    """Row, first and last token (flat), start and end logit of the best spans of a chunk of rows."""
    start_RS, end_RS, flat_RS = rows.padded(chunk)
    width = start_RS.shape[1]
    reach = min(max_length, width)
    padded_end = np.pad(end_RS, ((0, 0), (0, reach - 1)), constant_values=-np.inf)
    best_end = end_RS.copy()
    for step in range(1, reach):
        np.maximum(best_end, padded_end[:, step : step + width], out=best_end)

    starts_RN = _top(start_RS + best_end, min(n_best, width))
    ends_RNK = starts_RN[:, :, None] + np.arange(reach)
    at = np.arange(len(chunk))[:, None]
    start_RN = start_RS[at, starts_RN]
    scores = start_RN[:, :, None] + padded_end[at[:, :, None], ends_RNK]

    best_RM = _top(scores.reshape(len(chunk), -1), min(n_best, scores.shape[1] * reach))
    which_RM, step_RM = np.divmod(best_RM, reach)
    keep = np.isfinite(np.take_along_axis(scores.reshape(len(chunk), -1), best_RM, axis=1))
    first_RM = np.take_along_axis(starts_RN, which_RM, axis=1)
    last_RM = np.where(keep, first_RM + step_RM, 0)
    return (
        np.broadcast_to(chunk[:, None], keep.shape)[keep],
        flat_RS[at, first_RM][keep],
        flat_RS[at, last_RM][keep],
        start_RS[at, first_RM][keep],
        end_RS[at, last_RM][keep],
    )


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` highest scores of each row, in the order of the columns; the leftmost of equal ones."""
    if count >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    least = np.partition(scores, scores.shape[1] - count, axis=1)[:, -count][:, None]
    above = scores > least
    equal = scores == least
    room = count - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1) <= room))
    return np.nonzero(chosen)[1].reshape(len(scores), count)
