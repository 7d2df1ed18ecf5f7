"""The order in which rows run, and which are let in."""

from __future__ import annotations

import re
import threading
from typing import Any

import numpy as np
import pytest

from serving.engine import shapes
from serving.faults import BadItem, Cancelled, DeadlineExceeded, QueueFull, Unavailable
from serving.scheduling.costs import Costs
from serving.scheduling.queue import Batch, RowQueue, Waiting
from serving.scheduling.rows import Limits, Row, Submission, row_of, row_of_ids
from serving.service import Call

SHAPES = ((1, 32), (8, 32), (1, 64), (4, 64))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def queue_of(clock: Clock | None = None, *, seconds: float = 1e-5, **limits: Any) -> RowQueue:
    """A queue whose batches take as long as 300 tokens would, and then as long as they have tokens."""
    costs = Costs({shape: seconds * (300 + shape[0] * shape[1]) for shape in SHAPES})
    given = {"max_items": 64, "max_tokens": 4096, "max_seconds": 10.0, **limits}
    return RowQueue(costs, clock=clock or Clock(), **given)


def row(length: int, tag: int = 1) -> Row:
    ones = np.ones(length, np.int32)
    return Row(ones * tag, ones, ones * 0)


def submit(queue: RowQueue, *lengths: int, tag: int = 1, deadline: float = 1e9) -> Submission:
    submission = Submission([row(length, tag) for length in lengths], Call(deadline))
    queue.submit(submission)
    return submission


def tags(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [int(one.row.ids[0]) for one in batch.waiting]


def test_the_length_whose_first_row_is_oldest_goes_first():
    clock = Clock()
    queue = queue_of(clock)
    for tag, length in enumerate((60, 10, 50)):
        submit(queue, length, tag=tag)
        clock.now += 1
    first, second = queue.take(), queue.take()
    assert (tags(first), first.shape[1]) == ([0, 2, 1], 64)  # the short one fills a row that nobody else needs
    assert second is None and (queue.items, queue.tokens) == (0, 0)


def test_a_batch_has_the_shape_that_costs_least_for_each_row():
    queue = queue_of()
    for tag in range(9):
        submit(queue, 20, tag=tag)
    batch = queue.take()
    assert (batch.shape, tags(batch)) == ((8, 32), [0, 1, 2, 3, 4, 5, 6, 7])
    batch = queue.take()
    assert (batch.shape, tags(batch)) == ((1, 32), [8])


def test_only_known_shapes_run_whatever_waits():
    queue = queue_of()
    rng = np.random.default_rng(0)
    for _ in range(50):
        submit(queue, int(rng.integers(2, 65)))
    seen = 0
    while (batch := queue.take()) is not None:
        assert batch.shape in SHAPES and len(batch.waiting) <= batch.shape[0]
        assert all(len(one.row) <= batch.shape[1] for one in batch.waiting)
        seen += len(batch.waiting)
    assert seen == 50


def test_a_long_request_does_not_hold_up_a_short_one_nor_the_other_way_round():
    clock = Clock()
    queue = queue_of(clock, seconds=1e-3)  # a row of 64 takes 139 ms in the best company
    submit(queue, *[60] * 32, tag=7)
    clock.now += 0.5
    submit(queue, 60, tag=1)
    order: list[int] = []
    while (batch := queue.take()) is not None:
        order += tags(batch)
        clock.now += 0.556
        if clock.now < 103:
            submit(queue, 60, tag=1)
    assert order.index(1) < 8, "the short one waits as if the long one's rows came one after the other"
    assert order[-1] == 7 and order.count(7) == 32
    assert 7 in order[order.index(1) : order.index(1) + 8], "and those that come later do not stop the long one"


def test_a_request_is_let_in_whole_or_not_at_all():
    queue = queue_of(max_items=4)
    submit(queue, 10, 10, 10)
    with pytest.raises(QueueFull) as caught:
        submit(queue, 10, 10)
    assert caught.value.retry_after is not None and caught.value.retry_after >= 1
    assert (queue.items, queue.tokens) == (3, 30)
    submit(queue, 10)
    assert queue.items == 4


def test_tokens_are_counted_beside_rows():
    queue = queue_of(max_tokens=100)
    submit(queue, 60)
    with pytest.raises(QueueFull):
        submit(queue, 41)
    submit(queue, 40)


def test_what_never_fits_is_no_matter_of_waiting():
    for lengths in ([10] * 65, [64] * 64 + [60]):
        with pytest.raises(BadItem, match="Send less at a time") as caught:
            submit(queue_of(max_tokens=4100), *lengths)
        assert caught.value.code == "too_long"


def test_work_that_would_not_be_done_in_time_is_refused_at_once():
    clock = Clock()
    queue = queue_of(clock, seconds=1e-2, max_seconds=8.0)  # a row of 64 tokens takes 1.39 s
    for _ in range(6):
        submit(queue, 60)
    with pytest.raises(QueueFull):
        submit(queue, 60)
    queue.take()
    with pytest.raises(QueueFull):
        submit(queue, 60, deadline=clock.now + 2)
    submit(queue, 60)


def test_rows_that_nobody_waits_for_are_never_run():
    clock, dropped = Clock(), []
    queue = queue_of(clock, on_drop=dropped.append)
    late = submit(queue, 10, 50, tag=1, deadline=clock.now + 1)
    gone = submit(queue, 10, tag=2)
    stays = submit(queue, 10, tag=3)
    gone.call.cancelled.set()
    clock.now += 2
    assert tags(queue.take()) == [3]
    assert queue.take() is None and queue.items == 0
    with pytest.raises(DeadlineExceeded):
        late.outcome()
    with pytest.raises(Cancelled):
        gone.outcome()
    assert not stays.is_done
    assert dropped == ["deadline_exceeded", "client_closed_request"]


def test_a_request_whose_time_is_over_is_not_taken_in():
    clock = Clock()
    queue = queue_of(clock)
    with pytest.raises(DeadlineExceeded):
        submit(queue, 10, deadline=clock.now)
    assert queue.items == 0


def test_rows_that_are_put_back_keep_their_place():
    clock = Clock()
    queue = queue_of(clock)
    for tag in range(8):
        submit(queue, 10, tag=tag)
    batch = queue.take()
    clock.now += 1
    submit(queue, 10, tag=9)
    queue.put_back(batch.waiting[3:])
    assert tags(queue.take()) == [3, 4, 5, 6, 7, 9]


def test_a_refused_request_takes_its_other_rows_with_it():
    queue = queue_of()
    both = submit(queue, 10, 60)
    other = submit(queue, 60, tag=2)
    queue.drop(both, Unavailable("gone", code="engine_restarting"))
    assert (queue.items, queue.tokens) == (1, 60)
    assert tags(queue.take()) == [2]
    queue.drop_all(Unavailable("closed"))
    assert not other.is_done  # it runs


def test_a_batch_is_padded_and_its_missing_rows_are_filled():
    queue = queue_of()
    submission = Submission([Row(np.array([5, 6, 7]), np.array([1, 0, 1]), np.array([0, 0, 1]), position=2)], Call(1e9))
    queue.submit(submission)
    batch = Batch(queue.take().waiting, (2, 32))
    arrays = batch.arrays(pad_token=9, with_positions=True)
    assert [array.shape for array in arrays.values()] == [(2, 32)] * 3 + [(2, 1)]
    assert all(array.dtype == np.int32 for array in arrays.values())
    assert arrays["input_ids"].tolist() == [[5, 6, 7] + [9] * 29] * 2
    assert arrays["attention_mask"].tolist() == [[1, 0, 1] + [0] * 29] * 2
    assert arrays["token_type_ids"].tolist() == [[0, 0, 1] + [0] * 29] * 2
    assert arrays["positions"].tolist() == [[2], [2]]


def test_waiting_ends_with_the_first_row():
    queue = queue_of()
    thread = threading.Thread(target=queue.wait, args=(10.0,))
    thread.start()
    submit(queue, 10)
    thread.join(5)
    assert not thread.is_alive()


LIMITS = Limits(vocab_size=100, type_vocab_size=2, longest=8)


@pytest.mark.parametrize(
    ("ids", "mask", "types", "code", "said"),
    [
        ([1, 100], [1, 1], [0, 0], "bad_ids", "input_ids holds 100: expected 0 to 99"),
        ([1, -1], [1, 1], [0, 0], "bad_ids", "input_ids holds -1"),
        ([2**63, 2**63], [1, 1], [0, 0], "bad_ids", "input_ids holds 9223372036854775808"),
        ([1, 2**64], [1, 1], [0, 0], "bad_ids", "whole numbers"),
        ([1, 2.0], [1, 1], [0, 0], "bad_ids", "whole numbers"),
        ([1, 2], [1, 2], [0, 0], "bad_ids", "attention_mask holds 2"),
        ([1, 2], [1, 1], [0, 2], "bad_ids", "token_type_ids holds 2: expected 0 to 1"),
        ([1, 2], [0, 0], [0, 0], "bad_ids", "no token is attended to"),
        ([1, 2], [1], [0, 0], "bad_ids", "as many of each"),
        ([], [], [], "bad_ids", "whole numbers"),
        ([1] * 9, [1] * 9, [0] * 9, "too_long", "9 tokens: expected at most 8"),
    ],
)
def test_ids_that_would_break_a_graph_are_refused_with_their_input(ids, mask, types, code, said):
    with pytest.raises(BadItem, match=said) as caught:
        row_of(ids, mask, types, item=3, limits=LIMITS)
    assert (caught.value.code, caught.value.index) == (code, 3)


def test_padding_behind_a_row_is_cut_off_and_holes_in_it_are_kept():
    found = row_of([1, 2, 3, 99] + [0] * 20, [1, 0, 1, 0] + [0] * 20, [0] * 24, item=0, limits=LIMITS)
    assert (found.ids.tolist(), found.mask.tolist()) == ([1, 2, 3], [1, 0, 1])


def test_shapes_stay_within_the_budget_and_let_every_row_run_alone():
    for longest in (20, 64, 300, 512, 2048):
        for device in ("cpu", "ascend"):
            for budget in (None, 64, 8192):
                found = shapes.choose(longest, device=device, max_batch_tokens=budget)
                most = budget or (shapes.CPU_TOKENS if device == "cpu" else shapes.ACCELERATOR_TOKENS)
                assert all(rows == 1 or rows * length <= most for rows, length in found)
                assert max(length for _, length in found) == longest and (1, longest) in found
    assert {rows for rows, length in shapes.choose(512, device="ascend") if length == 512} == {1, 2, 4, 8, 16, 32}
    assert len(shapes.choose(512, device="cpu")) <= 10, "each is a second or two before the first answer"


def test_a_row_of_ids_alone_is_attended_to_as_a_whole_and_of_type_0():
    short, given = row_of_ids([5, 6], item=0, limits=LIMITS), Row(np.array([7, 8, 9]), np.array([1, 0, 1]), np.ones(3))
    waiting = tuple(Waiting(one, Submission([one], Call(1e9)), 0.0, 0.0) for one in (short, given))
    arrays = Batch(waiting, (3, 4)).arrays(pad_token=3, with_positions=False)
    assert arrays["input_ids"].tolist() == [[5, 6, 3, 3], [7, 8, 9, 3], [5, 6, 3, 3]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 0]]
    assert arrays["token_type_ids"].tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("ids", "code", "says"),
    [
        ([1, -1], "bad_ids", "input_ids holds -1: expected 0 to 99."),
        ([1, 100], "bad_ids", "input_ids holds 100: expected 0 to 99."),
        ([2**63], "bad_ids", f"input_ids holds {2**63}: expected 0 to 99."),
        ([1] * 9, "too_long", "9 tokens: expected at most 8."),
    ],
)
def test_ids_that_the_network_has_not_are_refused(ids: list[int], code: str, says: str) -> None:
    with pytest.raises(BadItem, match=re.escape(says)) as caught:
        row_of_ids(ids, item=3, limits=LIMITS)
    assert (caught.value.code, caught.value.index) == (code, 3)
