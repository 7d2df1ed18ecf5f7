"""Texts and pairs of texts as rows of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bert_ms.data import ragged
from bert_ms.errors import DataError
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer

# Changes when the same arguments begin to give other features, so that no cache outlives it.
VERSION = 1
_SPECIAL = 2  # [CLS] and [SEP]; a second text brings a [SEP] more


def featurize(
    texts: Sequence[str],
    pairs: Sequence[str | None],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    labels: Mapping[str, np.ndarray] | None = None,
    group: int = 1,
    workers: int = 0,
) -> Features:
    """Tokenise texts, one row each: `[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]` with types 0 and 1.

    Rows longer than `max_length` lose tokens at the end of whichever text is longer ("longest_first").

    Args:
        texts: the first texts.
        pairs: the second ones; None for a text without one.
        tokenizer: of the network.
        max_length: longest row, in tokens.
        labels: one a row, by column.
        group: so many rows belong together, as the choices of one example; see `Features.group`.
        workers: 1 tokenises on one core, anything else on all; the result is the same.

    Returns:
        Features with `example_index`.

    Raises:
        DataError: max_length leaves no room for texts.
    """
    if max_length <= _SPECIAL + 1:
        raise DataError(f"max_length is {max_length}, expected more than {_SPECIAL + 1}, for the special tokens alone.")
    parallel = workers != 1
    first = tokenizer.encode_ragged(texts, offsets=False, parallel=parallel)
    second = tokenizer.encode_ragged([pair or "" for pair in pairs], offsets=False, parallel=parallel)
    is_pair = np.array([pair is not None for pair in pairs], bool)
    a, b = kept(np.diff(first.row_splits), np.diff(second.row_splits), max_length - _SPECIAL - is_pair)

    row_splits = ragged.splits(a + b + _SPECIAL + is_pair)
    begin, then = row_splits[:-1], row_splits[:-1] + a + _SPECIAL
    input_ids = np.full(row_splits[-1], tokenizer.sep_token_id, np.int32)  # the [SEP] stay as they are
    input_ids[begin] = tokenizer.cls_token_id
    input_ids[ragged.ranges(begin + 1, a)] = first.ids[ragged.ranges(first.row_splits[:-1], a)]
    input_ids[ragged.ranges(then, b)] = second.ids[ragged.ranges(second.row_splits[:-1], b)]
    token_type_ids = np.zeros(row_splits[-1], np.int32)
    token_type_ids[ragged.ranges(then, b + is_pair)] = 1
    return Features(
        input_ids,
        token_type_ids,
        row_splits,
        labels=dict(labels or {}),
        example_index=(np.arange(len(texts)) // group).astype(np.int32),
        meta={"max_length": max_length, "group": group, "tokenizer": tokenizer.fingerprint(),
              "pad_token_id": tokenizer.pad_token_id, "cut": int(((a + b) < _total(first, second)).sum())},
    )  # fmt: skip


def kept(first: np.ndarray, second: np.ndarray, room: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tokens kept of two texts when tokens are taken from whichever is longer, for many pairs at once.

    Args:
        first: int [rows], tokens of the first texts.
        second: int [rows], of the second.
        room: int [rows], tokens that both may have together.

    Source: `longest_first` of tokenization/windows.py, whose results these are; agreement is tested.
    """
    short, long = np.minimum(first, second), np.maximum(first, second)
    short = np.minimum(short, room // 2)
    long = np.minimum(long, room - short)
    is_ordered, fits = first <= second, first + second <= room
    a, b = np.where(is_ordered, short, long), np.where(is_ordered, long, short)
    return np.where(fits, first, a), np.where(fits, second, b)


def _total(first: tuple, second: tuple) -> np.ndarray:
    return np.diff(first[2]) + np.diff(second[2])
