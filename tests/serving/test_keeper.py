"""What becomes of requests when an engine fails, seen with engines in this process."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from serving.engine.process import BatchFailed, EngineGone, Outcome
from serving.faults import DeadlineExceeded, EngineError, QueueFull, Unavailable
from serving.scheduling import keeper as keeping
from serving.scheduling.keeper import Keeper
from serving.scheduling.rows import Row, Submission
from serving.service import Call
from serving.spec import ModelSpec
from tests.serving.fake_engine import CONFIG, HELLO, World, of_ids, refuse

SHAPES = ((1, 16), (1, 64), (4, 64), (8, 16))
BAD = 666


class Kept:
    """A keeper with its world, and the events that it told of."""

    def __init__(self, world: World, **spec: Any):
        self.world, self.events = world, []
        given = {"name": "m", "source": "s", "shapes": SHAPES, "watchdog_seconds": 5.0, **spec}
        self.keeper = Keeper(
            ModelSpec(**given), "s", start=world.start, tell=lambda event, **values: self.events.append((event, values))
        )
        self.keeper.start()

    def ask(self, *rows: list[int], seconds: float = 5.0, call: Call | None = None) -> list[np.ndarray]:
        made = [Row(np.array(ids, np.int32), np.ones(len(ids), np.int32), np.zeros(len(ids), np.int32), item=i)
                for i, ids in enumerate(rows)]  # fmt: skip
        answered = self.keeper.answer(Submission(made, call or Call.within(seconds)))
        return [row.outputs["start_logits"] for row in answered]

    def told(self, event: str) -> list[Mapping[str, Any]]:
        return [values for name, values in self.events if name == event]


@pytest.fixture
def kept() -> Iterator[Callable[..., Kept]]:
    made: list[Kept] = []

    def make(world: World | None = None, **spec: Any) -> Kept:
        made.append(Kept(world or World(), **spec))
        made[-1].keeper.wait_started(5)
        return made[-1]

    yield make
    for one in made:
        one.world.gate.set()
        one.keeper.close()
        assert not [t for t in threading.enumerate() if t is one.keeper._thread]


def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.002)


def test_no_answer_crosses_under_64_threads_with_200_requests_each(kept):
    one = kept(max_queue_items=4096, max_queue_tokens=100_000)

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        for _ in range(200):
            rows = [rng.integers(1, 600, int(rng.integers(2, 65))).tolist() for _ in range(int(rng.integers(1, 3)))]
            for ids, outputs in zip(rows, one.ask(*rows, seconds=30), strict=True):
                assert outputs.tolist() == ids

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(client, range(64)))
    stats = one.keeper.stats()
    assert stats["rows"] == sum(values["rows"] for values in one.told("batch"))
    assert (stats["queue_items"], stats["queue_tokens"], stats["inflight"], stats["errors"]) == (0, 0, 0, 0)
    assert {ids.shape for ids, _ in one.world.batches} <= set(SHAPES)
    assert stats["batches"] < stats["rows"], "what waits together runs together"


def test_a_request_is_timed(kept):
    one = kept()
    call = Call.within(5)
    one.ask([1, 2, 3], [4, 5], call=call)
    assert set(call.timings) == {"queue", "infer"} and all(value >= 0 for value in call.timings.values())
    (batch,) = one.told("batch")
    assert (batch["rows"], batch["tokens"], batch["padded"]) == (2, 5, 8 * 16)


def fail_on_bad(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
    if (arrays["input_ids"] == BAD).any():
        raise BatchFailed("no such row")
    return of_ids(arrays, rows)


def nan_on_bad(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
    outcome = of_ids(arrays, rows)
    is_bad = (arrays["input_ids"][:rows] == BAD).any(1)
    outcome.outputs["end_logits"][is_bad] = np.nan
    return outcome


@pytest.mark.parametrize("compute", [fail_on_bad, nan_on_bad])
def test_a_row_that_the_network_fails_on_fails_alone(kept, compute):
    one = kept()
    one.world.compute = compute
    one.world.gate.clear()
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(one.ask, [9, 9])
        until(lambda: one.keeper.stats()["inflight"])
        good = [pool.submit(one.ask, [n, n + 1], [n]) for n in range(1, 6)]
        bad = pool.submit(one.ask, [1, 2], [3, BAD], [4])
        until(lambda: one.keeper.stats()["queue_items"] == 13)
        one.world.gate.set()
        assert [outputs.tolist() for outputs in first.result()] == [[9, 9]]
        for n, found in enumerate(good, 1):
            assert [outputs.tolist() for outputs in found.result()] == [[n, n + 1], [n]]
        with pytest.raises(EngineError) as caught:
            bad.result()
    assert caught.value.index == 1
    stats = one.keeper.stats()
    assert (stats["errors"], stats["engine_restarts"], stats["queue_items"]) == (1, 0, 0)
    assert one.keeper.state == "ready"


def test_a_broken_graph_costs_the_engine_but_only_its_own_request(kept):
    one = kept()
    broken: set[tuple[int, ...]] = set()

    def compute(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
        shape = arrays["input_ids"].shape
        if (arrays["input_ids"] == BAD).any():
            broken.add(shape)
        if shape in broken and one.world.engines[-1] is one.world.engines[0]:
            raise BatchFailed("the graph is broken")
        return of_ids(arrays, rows)

    one.world.compute = compute
    one.world.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(one.ask, [9, 9])
        until(lambda: one.keeper.stats()["inflight"])
        asked = []
        for ids in ([1], [2], [BAD], [3], [4]):
            asked.append(pool.submit(one.ask, ids))
            until(lambda: one.keeper.stats()["queue_items"] == len(asked))
        one.world.gate.set()
        first.result()
        with pytest.raises(EngineError):
            asked.pop(2).result()
        assert [found.result()[0].tolist() for found in asked] == [[1], [2], [3], [4]]
    assert one.told("engine_restart") == [{"reason": "poisoned"}]
    assert len(one.world.engines) == 2 and not one.world.engines[0].is_alive
    until(lambda: one.keeper.state == "ready")


def test_an_engine_that_dies_takes_only_what_it_worked_on(kept):
    one = kept()
    one.world.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        working = pool.submit(one.ask, [1, 2])
        until(lambda: one.keeper.stats()["inflight"])
        waiting = pool.submit(one.ask, [3, 4])
        until(lambda: one.keeper.stats()["queue_items"])
        one.world.engines[0].kill()
        with pytest.raises(Unavailable) as caught:
            working.result()
        assert (caught.value.code, caught.value.status) == ("engine_restarting", 503)
        assert caught.value.retry_after
        one.world.gate.set()
        assert waiting.result()[0].tolist() == [3, 4]
    assert one.told("engine_restart") == [{"reason": "died"}]
    assert [values["state"] for values in one.told("state")] == ["ready", "restarting", "ready"]


def test_an_idle_engine_that_dies_is_replaced_at_once(kept):
    one = kept()
    one.world.engines[0].kill()
    until(lambda: one.keeper.stats()["engine_restarts"] == 1 and one.keeper.state == "ready", 1.0)
    assert one.ask([5])[0].tolist() == [5]


def test_an_idle_engine_is_asked_whether_it_lives(kept):
    one = kept(ping_seconds=0.05)
    until(lambda: one.world.engines[0].pings >= 2)
    assert one.keeper.state == "ready"


def test_a_request_waits_for_a_restart_only_if_it_can_be_over_in_time(kept):
    one = kept()
    hold = threading.Event()
    one.world.greet = lambda: hold.wait(5) and HELLO
    one.keeper._start_seconds = 2.0
    one.world.engines[0].kill()
    until(lambda: one.keeper.state == "restarting")
    with pytest.raises(Unavailable) as caught:
        one.ask([1], seconds=0.5)
    assert (caught.value.code, caught.value.retry_after) == ("engine_restarting", 2.0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(one.ask, [7], seconds=5)
        until(lambda: one.keeper.stats()["queue_items"])
        hold.set()
        assert waiting.result()[0].tolist() == [7]


def test_an_engine_that_keeps_dying_is_given_up_and_tried_again_slowly(kept, monkeypatch):
    monkeypatch.setattr(keeping, "SLOW_RETRY", 0.2)
    one = kept(restart_limit=1)

    def die() -> Any:
        raise EngineGone("out of memory")

    one.world.greet = die
    one.world.engines[0].kill()
    until(lambda: one.keeper.state == "failed")
    assert "out of memory" in one.keeper.reason
    with pytest.raises(Unavailable) as caught:
        one.ask([1])
    assert (caught.value.code, caught.value.retry_after) == ("engine_failed", 0.2)
    one.world.greet = lambda: HELLO
    until(lambda: one.keeper.state == "ready")
    assert one.ask([1])[0].tolist() == [1]


def test_a_model_that_cannot_be_served_fails_with_its_reason_and_is_not_tried_again(kept):
    world = World()
    world.greet = refuse("no weights there")
    one = kept(world)
    assert (one.keeper.state, one.keeper.reason) == ("failed", "no weights there")
    with pytest.raises(Unavailable, match="no weights there"):
        one.ask([1])
    assert len(world.engines) == 1


def test_weights_that_changed_on_disk_are_not_served_by_a_restart(kept):
    one = kept(restart_limit=1)
    one.world.greet = lambda: dataclasses.replace(HELLO, version="v2")
    one.world.engines[0].kill()
    until(lambda: one.keeper.state == "failed")
    assert "the weights have changed since they were loaded (v1, now v2)" in one.keeper.reason


def test_an_engine_that_computes_otherwise_after_a_restart_does_not_answer(kept):
    one = kept(restart_limit=1)

    def wrong(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
        outcome = of_ids(arrays, rows)
        outcome.outputs["end_logits"][:] += 5
        return outcome

    one.world.compute = wrong
    one.world.engines[0].kill()
    until(lambda: one.keeper.state == "failed")
    assert "end_logits of the canary differs by 5" in one.keeper.reason


@pytest.mark.parametrize(("dtype", "state"), [("float16", "ready"), ("int8", "failed"), (None, "failed")])
def test_only_half_precision_may_differ_a_little_after_a_restart(kept, dtype, state):
    one = kept(restart_limit=1, dtype=dtype)

    def near(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
        outcome = of_ids(arrays, rows)
        outcome.outputs["end_logits"][:] *= 1.001
        return outcome

    one.world.compute = near
    one.world.engines[0].kill()
    until(lambda: len(one.world.engines) > 1 and one.keeper.state == state)


def test_an_engine_whose_canary_is_not_finite_never_gets_ready(kept):
    world = World()
    world.compute = lambda arrays, rows: Outcome({"start_logits": np.full((1, 16), np.nan, np.float32)}, 0.0)
    one = kept(world)
    assert one.keeper.state == "failed" and "not finite" in one.keeper.reason


def test_what_the_client_does_not_wait_for_is_not_computed(kept):
    one = kept()
    one.world.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(one.ask, [1])
        until(lambda: one.keeper.stats()["inflight"])
        call = Call.within(5)
        gone = pool.submit(one.ask, [BAD], call=call)
        late = pool.submit(one.ask, [BAD + 1], seconds=0.05)
        with pytest.raises(DeadlineExceeded):
            late.result()
        until(lambda: one.keeper.stats()["queue_items"] == 1)
        call.cancelled.set()
        one.world.gate.set()
        first.result()
        assert gone.exception(5).status == 499
    assert not any((ids[:, 0] >= BAD).any() for ids, _ in one.world.batches)  # a canary begins with 1
    assert {values["reason"] for values in one.told("rejected")} == {"deadline_exceeded", "client_closed_request"}


def test_an_answer_that_comes_too_late_is_a_timeout_and_harms_nobody(kept):
    one = kept()
    one.world.gate.clear()
    with pytest.raises(DeadlineExceeded):
        one.ask([1], seconds=0.05)
    one.world.gate.set()
    assert one.ask([2])[0].tolist() == [2]


def test_a_full_queue_refuses_fast_and_keeps_what_it_has(kept):
    one = kept(max_queue_items=3)
    one.world.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(one.ask, [1])]
        until(lambda: one.keeper.stats()["inflight"])
        asked += [pool.submit(one.ask, [n]) for n in (2, 3, 4)]
        until(lambda: one.keeper.stats()["queue_items"] == 3)
        began = time.monotonic()
        with pytest.raises(QueueFull):
            one.ask([5])
        assert time.monotonic() - began < 0.05
        one.world.gate.set()
        assert [found.result()[0].tolist() for found in asked] == [[1], [2], [3], [4]]


def test_closing_refuses_what_waits(kept):
    one = kept(watchdog_seconds=0.2)
    one.world.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(one.ask, [1])
        until(lambda: one.keeper.stats()["inflight"])
        waiting = pool.submit(one.ask, [2])
        until(lambda: one.keeper.stats()["queue_items"])
        closing = pool.submit(one.keeper.close)
        assert waiting.exception(5).code == "draining"
        one.world.gate.set()
        closing.result()


def test_rows_are_never_longer_than_the_longest_shape(kept):
    one = kept()
    assert one.keeper.longest == 64 == CONFIG.max_sequence_length
    world = World()
    assert kept(world, shapes=None, max_length=40).keeper.longest == 40


def test_shapes_that_the_network_has_no_room_for_are_refused(kept):
    one = kept(shapes=((1, 16), (1, 65)))
    assert one.keeper.state == "failed"
    assert one.keeper.reason == "shape (1, 65): the network takes 64 tokens."


def test_a_network_that_was_exported_in_fixed_shapes_runs_in_those(kept):
    world = World()
    world.greet = lambda: dataclasses.replace(HELLO, shapes=((1, 32), (8, 48), (8, 512)))
    one = kept(world, shapes=None)
    assert one.ask([1] * 40)[0].tolist() == [1] * 40
    assert one.keeper.longest == 48 and set(one.keeper._started.costs.warmed) == {(1, 32), (1, 48), (8, 48)}


def test_short_shapes_are_checked_by_a_canary_that_they_hold(kept):
    one = kept(shapes=((4, 8), (1, 32), (1, 64)))
    one.world.compute = fail_on_bad
    with pytest.raises(EngineError):
        one.ask([1, 2], [BAD, 3], [4])
    one.world.compute = of_ids
    assert one.ask([1, 2])[0].tolist() == [1, 2]
    shapes = {ids.shape for ids, _ in one.world.batches}
    assert shapes == {(4, 8), (1, 32)} and not one.told("engine_restart"), "its rows were tried alone, in a longer one"


def test_a_network_that_takes_any_shape_is_not_filled_up_unless_shapes_are_given(kept):
    for given, expected in ((None, {(2, 8), (1, 24)}), (SHAPES, {(8, 16), (1, 64)})):
        world = World()
        world.greet = lambda: dataclasses.replace(HELLO, takes_any_shape=True)
        one = kept(world, shapes=given)
        assert [row.tolist() for row in one.ask([1, 2, 3], [4, 5])] == [[1, 2, 3], [4, 5]]
        one.ask([6] * 20)
        assert {ids.shape for ids, _ in world.batches[1:]} == expected, "after the canary"


def test_a_batch_that_had_to_be_compiled_is_told_of(kept):
    one = kept()
    one.world.compute = lambda arrays, rows: dataclasses.replace(of_ids(arrays, rows), compiled=True)
    one.ask([1])
    assert one.told("compile") == [{"shape": (1, 16)}] and one.keeper.stats()["compiles"] == 1
