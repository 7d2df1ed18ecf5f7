"""Index arithmetic on ragged arrays: many rows of different length, one after the other."""

from __future__ import annotations

import numpy as np

from bert_ms.records import Features


def splits(lengths: np.ndarray) -> np.ndarray:
    """Where rows of these lengths begin and end: int64 [rows + 1], starting with 0."""
    result = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=result[1:])
    return result


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`start, start + 1, ...` of each row, `length` numbers a row, all rows one after the other: int64 [sum(lengths)].

    >>> ranges(np.array([10, 5]), np.array([2, 3])).tolist()
    [10, 11, 5, 6, 7]
    """
    before = splits(lengths)
    return np.repeat(starts - before[:-1], lengths) + np.arange(before[-1])


def is_per_token(features: Features, column: np.ndarray) -> bool:
    """Whether a label column has one label a token, not one a row."""
    return len(column) == len(features.input_ids) != len(features)
