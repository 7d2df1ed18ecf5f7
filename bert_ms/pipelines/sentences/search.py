"""Comparing vectors, and finding the nearest ones in a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from bert_ms.errors import ConfigError, DataError

Measure = Literal["cosine", "dot"]
_LEAST_NORM = 1e-12
_CHUNK = 65536  # rows of the matrix that are compared at once: a memory-mapped one never has to fit into memory


class Match(NamedTuple):
    """A row of the matrix, with how similar it is."""

    row: int
    score: float


def similarity(first: np.ndarray, second: np.ndarray, *, measure: Measure = "cosine") -> np.ndarray:
    """Every vector against every other.

    Args:
        first: float [N, H], or [H] for one.
        second: float [M, H], or [H] for one.
        measure: "cosine" of the angle, or "dot", the inner product.

    Returns:
        float32 [N, M].

    Raises:
        DataError: these are no vectors, or their shapes do not fit.
    """
    if measure not in ("cosine", "dot"):
        raise ConfigError(f"measure is {measure!r}: expected cosine or dot.")
    try:
        a, b = np.atleast_2d(np.asarray(first, np.float32)), np.atleast_2d(np.asarray(second, np.float32))
    except (TypeError, ValueError) as error:
        raise DataError(f"these are no vectors ({error}): give arrays of numbers, as `encode` returns them.") from None
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"vectors of shape {np.shape(first)} and {np.shape(second)}: expected [N, H] and [M, H].")
    if measure == "cosine":
        a, b = normalised(a), normalised(b)
    return a @ b.T


def search(
    queries: np.ndarray, matrix: np.ndarray, *, top_k: int = 10, measure: Measure = "cosine"
) -> list[list[Match]]:
    """The rows of a matrix that are most similar to each query, best first; equal scores in the order of the rows.

    Args:
        queries: float [Q, H], or [H] for one.
        matrix: float [N, H]; it may be memory-mapped (`np.load(file, mmap_mode="r")`), and is read in pieces.
        top_k: so many rows a query.
        measure: see `similarity`.
    """
    if top_k < 1:
        raise ConfigError(f"top_k is {top_k}: expected at least 1.")
    queries = np.atleast_2d(queries)
    best_scores = np.zeros((len(queries), 0), np.float32)
    best_rows = np.zeros((len(queries), 0), np.int64)
    for begin, part in _pieces(matrix):
        scores = np.concatenate([best_scores, similarity(queries, part, measure=measure)], 1)
        numbers = np.broadcast_to(np.arange(begin, begin + len(part)), (len(queries), len(part)))
        rows = np.concatenate([best_rows, numbers], 1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        best_scores, best_rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
    return [
        [Match(int(row), float(score)) for row, score in zip(rows, scores, strict=True)]
        for rows, scores in zip(best_rows, best_scores, strict=True)
    ]


def _pieces(matrix: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    if np.ndim(matrix) != 2:
        raise DataError(f"the matrix has shape {np.shape(matrix)}: expected [N, H].")
    for begin in range(0, len(matrix), _CHUNK):
        yield begin, matrix[begin : begin + _CHUNK]


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, H] of length 1; those of length 0 stay as they are."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST_NORM)
