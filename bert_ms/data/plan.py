"""Which rows make up which batch, padded to which length."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bert_ms.errors import DataError

logger = logging.getLogger(__name__)

FILLER = -1
# Batches whose rows are sorted by length together: enough to lose little to padding, few enough to stay well mixed.
POOL = 50
_MULTIPLE = 32


@dataclass(frozen=True)
class BatchPlan:
    """One pass over a data set.

    Attributes:
        rows: int64 [batches, batch size of all ranks together], row numbers; -1 for a row that only fills the batch.
        lengths: int64 [batches], what each batch is padded to; the same for every rank.
    """

    rows: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def of_rank(self, rank: int, size: int) -> BatchPlan:
        """The part of one of `size` workers: together they have the rows of one worker with `size` times the batch."""
        each = self.rows.shape[1] // size
        return BatchPlan(self.rows[:, rank * each : (rank + 1) * each], self.lengths)


def for_training(lengths: np.ndarray, *, batch_size: int, buckets: Sequence[int], seed: int, epoch: int) -> BatchPlan:
    """Every row once in a random order, rows of similar length together.

    The last batch is filled with rows drawn at random, so that no row is lost in any epoch, no batch is short, and no
    worker is without rows.

    Args:
        lengths: int [rows], tokens of each row.
        batch_size: rows of a batch, of all ranks together.
        buckets: lengths that batches may be padded to, ascending.
        seed: of the run.
        epoch: counted from 0; the plan is a function of seed and epoch alone.
    """
    random = np.random.default_rng([seed, epoch])
    rows = random.permutation(len(lengths))
    missing = -len(rows) % batch_size
    rows = np.concatenate([rows, random.choice(len(lengths), missing, replace=missing > len(lengths))])
    batches = []
    for begin in range(0, len(rows), POOL * batch_size):
        pool = rows[begin : begin + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")].reshape(-1, batch_size)
        batches.append(pool[random.permutation(len(pool))])
    # the pools are mixed as well: the last one, often a small one, is not always at the end
    order = random.permutation(sum(map(len, batches)))
    return _with_lengths(np.concatenate(batches)[order], lengths, buckets)


def for_evaluation(lengths: np.ndarray, *, batch_size: int, buckets: Sequence[int]) -> BatchPlan:
    """Every row once, the longest first, so that too little memory shows at once; what is missing at the end is -1."""
    rows = np.argsort(-lengths, kind="stable")
    rows = np.concatenate([rows, np.full(-len(rows) % batch_size, FILLER)])
    return _with_lengths(rows.reshape(-1, batch_size), lengths, buckets)


def complete_buckets(lengths: np.ndarray, buckets: Sequence[int] = ()) -> tuple[int, ...]:
    """Buckets that every row fits into: those given and, where they are too short, the longest row's; or chosen ones.

    Raises:
        DataError: there are no rows.
    """
    if not len(lengths):
        raise DataError("the data set has no rows: there is nothing to make batches of.")
    longest = int(lengths.max())
    if not buckets:
        return choose_buckets(lengths)
    given = sorted(set(buckets))
    if given[-1] < longest:
        logger.info("buckets %s are shorter than the longest row: %d added.", given, longest)
        given.append(longest)
    return tuple(given)


def choose_buckets(lengths: np.ndarray, *, most: int = 6, gain: float = 0.02) -> tuple[int, ...]:
    """The few lengths that lose least to padding; few, since a network is compiled anew for each.

    Lengths are multiples of 32, and the longest row's own. One more is taken only while it saves at least `gain` of all
    padded tokens.
    """
    longest = int(lengths.max())
    rounded = np.minimum(-(-lengths // _MULTIPLE) * _MULTIPLE, longest)
    candidates, counts = np.unique(rounded, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    # cost[k][j]: padded tokens of all rows up to candidate j with k + 1 buckets, the last of them candidate j
    cost = [candidates * total[1:]]
    chosen: list[list[tuple[int, ...]]] = [[(j,) for j in range(len(candidates))]]
    while len(cost) < min(most, len(candidates)):
        step = [_best(cost[-1], j, candidates, total) for j in range(len(candidates))]
        cost.append(np.array([value for value, _ in step]))
        chosen.append([(*chosen[-1][i], j) if i is not None else (j,) for j, (_, i) in enumerate(step)])
        if cost[-1][-1] > (1 - gain) * cost[-2][-1]:
            cost.pop()
            break
    return tuple(int(candidates[j]) for j in chosen[len(cost) - 1][-1])


def _best(before: np.ndarray, j: int, candidates: np.ndarray, total: np.ndarray) -> tuple[int, int | None]:
    """Least cost with one bucket more, and which candidate comes before the last one, j."""
    options = [(int(before[i] + (total[j + 1] - total[i + 1]) * candidates[j]), i) for i in range(j)]
    return min(options, default=(int(before[j]), None), key=lambda option: option[0])


def _with_lengths(rows: np.ndarray, lengths: np.ndarray, buckets: Sequence[int]) -> BatchPlan:
    longest = np.where(rows == FILLER, 0, lengths[rows]).max(axis=1)
    return BatchPlan(rows, np.asarray(buckets, np.int64)[np.searchsorted(buckets, longest)])
