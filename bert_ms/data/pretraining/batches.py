"""Training batches from text rows: shuffled through a window, masked anew each epoch, resumable at any place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from bert_ms.data import plan, ragged
from bert_ms.data.loader import ROW
from bert_ms.data.pretraining.rows import TextRows
from bert_ms.errors import DataError

# Rows that lie together on disk are moved together, so that reading stays sequential ...
RUN = 256
# ... and so many rows are mixed completely; all that is held of an epoch's order.
WINDOW = 1 << 18
_MULTIPLE = 128
_OF_RUNS = 1


class TextBatches:
    """What `data.loader.Batches` is for rows that stay as they are, for text that is masked anew each epoch.

    An epoch takes every row once. Runs of 256 neighbours are put in a random order, and each window of some 262,144
    rows of that order is mixed completely; what is in memory does not grow with the text. Order and masks follow from
    seed, epoch and row alone: batches can begin anywhere, and two workers with batches of B have the rows of one worker
    with batches of 2B, in the same order.

    Args:
        rows: of the text.
        batch_size: rows of a batch of one worker.
        seed: of the run.
        buckets: lengths to pad to; empty takes the multiples of 128 up to the longest row allowed.
        max_length: the longest row allowed.
        rank: this worker, from 0.
        size: number of workers.
        window: rows that are mixed completely.

    Raises:
        DataError: no rows, or a rank that is none of the workers.
    """

    def __init__(
        self,
        rows: TextRows,
        *,
        batch_size: int,
        max_length: int,
        seed: int = 0,
        buckets: Sequence[int] = (),
        rank: int = 0,
        size: int = 1,
        window: int = WINDOW,
    ):
        if batch_size < 1 or not 0 <= rank < size:
            raise DataError(f"batch_size {batch_size}, rank {rank} of {size}: expected at least 1, 0 to {size - 1}.")
        if not len(rows):
            raise DataError("the text makes no examples: there is nothing to make batches of.")
        self.rows, self.seed, self.rank, self.size = rows, seed, rank, size
        self._together = batch_size * size
        given = [*buckets] or [*range(_MULTIPLE, max_length, _MULTIPLE)]
        self.buckets = tuple(sorted({*given, max_length}))
        self.per_epoch = -(-len(rows) // self._together)
        self._window = max(window // self._together, 1)  # batches
        deciding = [rows.fingerprint(), self._together, seed, list(self.buckets), self._window, RUN]
        self.fingerprint = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()

    def starting_at(self, position: int) -> Iterator[dict[str, np.ndarray]]:
        """Batches for ever, from batch `position` of the whole run on; earlier ones are not read."""
        epoch, begin = divmod(position, self.per_epoch)
        while True:
            for window in range(begin // self._window, -(-self.per_epoch // self._window)):
                yield from self._batches(epoch, window, max(begin - window * self._window, 0))
            epoch, begin = epoch + 1, 0

    def _batches(self, epoch: int, window: int, begin: int) -> Iterator[dict[str, np.ndarray]]:
        numbers = self._numbers(epoch, window)
        of_all = plan.for_training(
            self.rows.lengths_of(numbers),
            batch_size=self._together,
            buckets=self.buckets,
            seed=self.seed,
            epoch=epoch * (1 << 20) + window,
        )
        mine = of_all.of_rank(self.rank, self.size)
        for places, length in zip(mine.rows[begin:], mine.lengths[begin:].tolist(), strict=True):
            rows = numbers[places]
            yield {**self.rows.batch(rows, length, epoch=epoch), ROW: rows.astype(np.int32)}

    def _numbers(self, epoch: int, window: int) -> np.ndarray:
        """The rows of one window of an epoch, int64."""
        count = len(self.rows)
        runs = np.random.default_rng([self.seed, epoch, _OF_RUNS]).permutation(-(-count // RUN))
        sizes = np.where(runs == count // RUN, count % RUN, RUN)  # the last run may be a short one
        splits = ragged.splits(sizes)
        begin = window * self._window * self._together
        end = min(begin + self._window * self._together, count)
        first, last = np.searchsorted(splits, [begin, end - 1], side="right") - 1
        chosen = slice(int(first), int(last) + 1)
        numbers = ragged.ranges(runs[chosen] * RUN, sizes[chosen])
        return numbers[begin - splits[first] : end - splits[first]]
