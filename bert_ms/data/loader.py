"""Batches of padded arrays from features, for training and for evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from bert_ms.data import plan, ragged
from bert_ms.data.plan import BatchPlan
from bert_ms.errors import DataError
from bert_ms.records import ATTENTION_MASK, IGNORE_INDEX, INPUT_IDS, INPUT_NAMES, TOKEN_TYPE_IDS, Features

ROW = "row"
PAD_TOKEN_ID = "pad_token_id"


class RowSource(Protocol):
    """Where rows are kept: in memory, or in files that are read as needed."""

    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Features]:
        """For each array of row numbers those rows, in that order."""

    def fingerprint(self) -> str:
        """sha256 of the rows' content."""

    def pad_token_id(self) -> int:
        """What input_ids are padded with."""

    def group(self) -> int:
        """So many rows in a row are one example, see `Features.group`."""


class InMemory:
    """Features in memory as a source of rows."""

    def __init__(self, features: Features):
        self.features = features

    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        return self.features.lengths()

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Features]:
        """For each array of row numbers those rows, in that order."""
        return (take(self.features, rows) for rows in batches)

    def fingerprint(self) -> str:
        """sha256 of the rows' content."""
        digest = hashlib.sha256()
        columns = {INPUT_IDS: self.features.input_ids, TOKEN_TYPE_IDS: self.features.token_type_ids,
                   "row_splits": self.features.row_splits, **self.features.labels}  # fmt: skip
        for name, column in sorted(columns.items()):
            digest.update(f"{name} {column.dtype} {column.shape}".encode())
            digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()

    def pad_token_id(self) -> int:
        """What input_ids are padded with."""
        return int(str(self.features.meta.get(PAD_TOKEN_ID, 0)))

    def group(self) -> int:
        """So many rows in a row are one example, see `Features.group`."""
        return self.features.group


class Batches:
    """Training data in batches: the same order for the same seed, resumable at any place, sharded by worker.

    Each batch is a dictionary of int32 arrays `input_ids, attention_mask, token_type_ids` [B, S], the labels, and `row`
    [B]. S is one of `buckets`. Which rows are in a batch follows from seed and epoch, see `plan.for_training`; two
    workers with batches of B have the rows of one worker with batches of 2B, in the same order.

    Where C rows are one example (`Features.group`), inputs are [B, C, S], and "row" means such a group everywhere else;
    its label is that of its first row.

    Args:
        source: features, or another source of rows.
        batch_size: rows of a batch of one worker.
        seed: of the run.
        buckets: lengths to pad to; empty chooses a few by the data.
        rank: this worker, from 0.
        size: number of workers.

    Raises:
        DataError: no rows, or a rank that is none of the workers.
    """

    def __init__(
        self,
        source: Features | RowSource,
        *,
        batch_size: int,
        seed: int = 0,
        buckets: Sequence[int] = (),
        rank: int = 0,
        size: int = 1,
    ):
        _check(batch_size, rank, size)
        self.source = _as_source(source)
        self.batch_size, self.seed, self.rank, self.size = batch_size, seed, rank, size
        self._lengths = _group_lengths(self.source)
        self.buckets = plan.complete_buckets(self._lengths, buckets)
        self.per_epoch = -(-len(self._lengths) // (batch_size * size))
        deciding = [self.source.fingerprint(), batch_size * size, seed, list(self.buckets)]
        self.fingerprint = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()

    def plan(self, epoch: int) -> BatchPlan:
        """This worker's batches of one epoch."""
        of_all = plan.for_training(
            self._lengths,
            batch_size=self.batch_size * self.size,
            buckets=self.buckets,
            seed=self.seed,
            epoch=epoch,
        )
        return of_all.of_rank(self.rank, self.size)

    def starting_at(self, position: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches for ever, from batch `position` of the whole run on; earlier ones are not read."""
        epoch, begin = divmod(position, self.per_epoch)
        while True:
            yield from _padded(self.source, self.plan(epoch), begin)
            epoch, begin = epoch + 1, 0


class EvaluationBatches:
    """Every row exactly once over all workers, in batches of equal size; iterating starts over each time.

    Rows with `row` -1 only fill the last batch: their tokens are all padding, their labels -100 (or nan). Groups of
    rows are batched as `Batches` does.

    Args:
        source: features, or another source of rows.
        batch_size: rows of a batch of one worker.
        buckets: lengths to pad to; empty chooses a few by the data.
        rank: this worker, from 0.
        size: number of workers.

    Raises:
        DataError: no rows, or a rank that is none of the workers.
    """

    def __init__(
        self,
        source: Features | RowSource,
        *,
        batch_size: int,
        buckets: Sequence[int] = (),
        rank: int = 0,
        size: int = 1,
    ):
        _check(batch_size, rank, size)
        self.source = _as_source(source)
        lengths = _group_lengths(self.source)
        self.buckets = plan.complete_buckets(lengths, buckets)
        of_all = plan.for_evaluation(lengths, batch_size=batch_size * size, buckets=self.buckets)
        self.plan = of_all.of_rank(rank, size)

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return _padded(self.source, self.plan, 0)


def take(features: Features, rows: np.ndarray) -> Features:
    """Some rows of features, in the order given; without what decoding needs."""
    starts, lengths = features.row_splits[rows], features.lengths()[rows]
    tokens = ragged.ranges(starts, lengths)
    labels = {
        name: column[tokens if ragged.is_per_token(features, column) else rows]
        for name, column in features.labels.items()
    }
    return Features(features.input_ids[tokens], features.token_type_ids[tokens], ragged.splits(lengths), labels,
                    meta=features.meta)  # fmt: skip


def pad(
    features: Features, length: int, *, size: int, pad_token_id: int, rows: int | None = None
) -> dict[str, np.ndarray]:
    """Rows as arrays [size, length]; what is missing of rows and of tokens is padding, with labels -100 (or nan).

    Only the first `rows` are taken, all of them by default. With none the others still tell which labels are one a
    token: of features without a row that cannot be seen.
    """
    count = len(features) if rows is None else rows
    tokens = int(features.row_splits[count])
    lengths = np.zeros(size, np.int64)
    lengths[:count] = features.lengths()[:count]
    mask = np.arange(length) < lengths[:, None]

    def spread(column: np.ndarray, fill: float) -> np.ndarray:
        result = np.full(mask.shape, fill, column.dtype)
        result[mask] = column[:tokens]
        return result

    batch = {
        INPUT_IDS: spread(features.input_ids, pad_token_id),
        ATTENTION_MASK: mask.astype(np.int32),
        TOKEN_TYPE_IDS: spread(features.token_type_ids, 0),
    }
    for name, column in features.labels.items():
        fill = np.nan if np.issubdtype(column.dtype, np.floating) else IGNORE_INDEX
        if ragged.is_per_token(features, column):
            batch[name] = spread(column, fill)
        else:
            batch[name] = np.full((size, *column.shape[1:]), fill, column.dtype)
            batch[name][:count] = column[:count]
    return batch


def _padded(source: RowSource, batches: BatchPlan, begin: int) -> Iterator[dict[str, np.ndarray]]:
    groups, lengths = batches.rows[begin:], batches.lengths[begin:]
    pad_token_id, size = source.pad_token_id(), source.group()
    taken = [group[group != plan.FILLER] for group in groups]
    # a worker's last batch may have no row at all: one is read to see what its labels are like
    streamed = source.stream(_rows_of(rows if len(rows) else np.zeros(1, rows.dtype), size) for rows in taken)
    for group, rows, length, features in zip(groups, taken, lengths.tolist(), streamed, strict=True):
        kept = len(rows) * size
        batch = pad(features, length, size=len(group) * size, pad_token_id=pad_token_id, rows=kept)
        if size > 1:
            batch = {name: _grouped(name, column, size) for name, column in batch.items()}
        yield {**batch, ROW: group.astype(np.int32)}


def _rows_of(groups: np.ndarray, size: int) -> np.ndarray:
    """Numbers of the rows of groups."""
    return (groups[:, None] * size + np.arange(size)).reshape(-1)


def _grouped(name: str, column: np.ndarray, size: int) -> np.ndarray:
    """[B * C, S] as [B, C, S]; of a label [B * C] the first of each group, [B]."""
    if name in INPUT_NAMES:
        return column.reshape(-1, size, column.shape[-1])
    return column[::size]


def _group_lengths(source: RowSource) -> np.ndarray:
    """Tokens of each row, or of the longest row of each group.

    Raises:
        DataError: a group is not whole.
    """
    lengths, size = source.lengths(), source.group()
    if len(lengths) % size:
        raise DataError(f"{len(lengths)} rows do not make groups of {size}.")
    return lengths if size == 1 else lengths.reshape(-1, size).max(axis=1)


def _as_source(source: Features | RowSource) -> RowSource:
    return InMemory(source) if isinstance(source, Features) else source


def _check(batch_size: int, rank: int, size: int) -> None:
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}, expected at least 1.")
    if not 0 <= rank < size:
        raise DataError(f"rank {rank} of {size} workers does not exist: expected 0 to {size - 1}.")
