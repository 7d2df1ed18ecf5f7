"""Rows of ids on their way to an engine, with the request that waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..faults import BadItem, Cancelled, DeadlineExceeded, ServiceFault
from ..service import Call


@dataclass(frozen=True)
class Limits:
    """What ids a network takes.

    Attributes:
        vocab_size: rows of its word table.
        type_vocab_size: rows of its token type table.
        longest: tokens of its longest row.
    """

    vocab_size: int
    type_vocab_size: int
    longest: int


@dataclass(eq=False)
class Row:
    """One row of a batch to be.

    Attributes:
        ids: int32 [n], or a list of them, without padding behind it.
        mask: int32 [n], 0 or 1; None where all are attended to.
        types: int32 [n]; None where all are 0.
        item: number of the input that it belongs to.
        position: place of the gap that is asked for, of networks that take one.
        outputs: of this row by name, once they are there.
    """

    ids: np.ndarray | Sequence[int]
    mask: np.ndarray | None = None
    types: np.ndarray | None = None
    item: int = 0
    position: int = 0
    outputs: Mapping[str, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Submission:
    """The rows of one request, which are answered together or not at all.

    Args:
        rows: at least one.
        call: the request's circumstances.
    """

    def __init__(self, rows: Sequence[Row], call: Call):
        self.rows, self.call = tuple(rows), call
        self.tokens = sum(map(len, self.rows))
        self.begun = time.monotonic()
        self.infer_seconds = 0.0
        self._left = len(self.rows)
        self._fault: ServiceFault | None = None
        self._is_done = False
        self._lock = threading.Lock()
        self._latch = threading.Lock()  # released when it is done; an Event would cost every request several times more
        self._latch.acquire()

    @property
    def is_done(self) -> bool:
        """Whether it is answered, or refused."""
        return self._is_done

    def overdue(self, now: float) -> ServiceFault | None:
        """Why nobody waits for it any more; None where somebody does."""
        if self.call.cancelled.is_set():
            return Cancelled("the client is gone.")
        if now >= self.call.deadline:
            return DeadlineExceeded("the answer was not there in time.")
        return None

    def complete(self, row: Row, outputs: Mapping[str, np.ndarray]) -> None:
        """Give a row its outputs; the last one ends the waiting."""
        with self._lock:
            row.outputs = outputs
            self._left -= 1
            if self._left == 0:
                self._finish()

    def refuse(self, fault: ServiceFault) -> bool:
        """End the waiting by a fault; the first counts. Returns whether this was it."""
        with self._lock:
            if self._is_done:
                return False
            self._fault = fault
            self._finish()
            return True

    def wait(self) -> bool:
        """Wait until it is done, or its deadline is over; whether it is done. For one thread, once."""
        deadline, parking = self.call.deadline, self.call.parking
        if parking is None:
            self._latch.acquire(timeout=max(deadline - time.monotonic(), 0))
        else:
            while not self._is_done and time.monotonic() < deadline:
                parking.park(deadline)
        return self._is_done

    def _finish(self) -> None:
        if not self._is_done:
            self._is_done = True
            if self.call.parking is None:
                self._latch.release()
            else:
                self.call.parking.unpark()

    def outcome(self) -> tuple[Row, ...]:
        """The rows with their outputs.

        Raises:
            ServiceFault: it was refused.
        """
        if self._fault is not None:
            raise self._fault
        seconds = time.monotonic() - self.begun
        timings = self.call.timings
        timings["infer"] = timings.get("infer", 0.0) + min(self.infer_seconds, seconds)
        timings["queue"] = timings.get("queue", 0.0) + max(seconds - self.infer_seconds, 0.0)
        return self.rows


def row_of(ids: Any, mask: Any, types: Any, *, item: int, limits: Limits, position: int = 0) -> Row:
    """A row that no network stumbles over: one bad id would break its compiled graph for all who come after.

    Args:
        ids: int [S] of any integer type; what follows the last token that is attended to is cut off.
        mask: the same form, 0 or 1.
        types: the same form.
        item: number of the input that it belongs to.
        limits: of the network.
        position: place of its gap.

    Raises:
        BadItem: bad_ids or too_long.
    """
    named = ((ids, "input_ids"), (mask, "attention_mask"), (types, "token_type_ids"))
    ids, mask, types = (_integers(values, name, item) for values, name in named)
    if not len(ids) == len(mask) == len(types):
        text = f"{len(ids)} ids, a mask of {len(mask)} and {len(types)} types: expected as many of each."
        raise BadItem(text, code="bad_ids", index=item)
    attended = np.flatnonzero(mask)
    if not len(attended):
        raise BadItem("no token is attended to.", code="bad_ids", index=item)
    count = int(attended[-1]) + 1
    if count > limits.longest:
        text = f"{count} tokens: expected at most {limits.longest}."
        raise BadItem(text, code="too_long", index=item)
    for values, name, below in (
        (ids, "input_ids", limits.vocab_size),
        (mask, "attention_mask", 2),
        (types, "token_type_ids", limits.type_vocab_size),
    ):
        least, most = int(values.min()), int(values.max())
        if least < 0 or most >= below:
            text = f"{name} holds {least if least < 0 else most}: expected 0 to {below - 1}."
            raise BadItem(text, code="bad_ids", index=item)
    if not 0 <= position < count:
        raise BadItem(f"position {position} in a row of {count} tokens.", code="bad_ids", index=item)
    ids, mask, types = (np.ascontiguousarray(values[:count], np.int32) for values in (ids, mask, types))
    return Row(ids, mask, types, item=item, position=position)


def whole_row(ids: np.ndarray, types: np.ndarray, *, item: int, limits: Limits, position: int = 0) -> Row:
    """`row_of` for int32 rows [n] that are attended to as a whole, as tokenizers make them, in less time.

    Raises:
        BadItem: bad_ids or too_long.
    """
    is_good = (
        0 < len(ids) == len(types) <= limits.longest
        and int(ids.view(np.uint32).max()) < limits.vocab_size  # what is negative is large
        and int(types.view(np.uint32).max()) < limits.type_vocab_size
        and 0 <= position < len(ids)
    )
    mask = np.ones(len(ids), np.int32)
    if not is_good:
        return row_of(ids, mask, types, item=item, limits=limits, position=position)
    return Row(ids, mask, types, item=item, position=position)


def row_of_ids(ids: Sequence[int], *, item: int, limits: Limits) -> Row:
    """A row of one text's ids with the special ones; of few ids numpy would cost more than all that is done with them.

    Raises:
        BadItem: bad_ids or too_long.
    """
    below = limits.vocab_size
    if min(ids) < 0 or max(ids) >= below:
        bad = next(token for token in ids if not 0 <= token < below)
        raise BadItem(f"input_ids holds {bad}: expected 0 to {below - 1}.", code="bad_ids", index=item)
    if len(ids) > limits.longest:
        text = f"{len(ids)} tokens: expected at most {limits.longest}."
        raise BadItem(text, code="too_long", index=item)
    return Row(ids, item=item)


def _integers(values: Any, name: str, item: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        text = f"{name} is of shape {array.shape} and type {array.dtype}: expected a row of whole numbers."
        raise BadItem(text, code="bad_ids", index=item)
    return array
