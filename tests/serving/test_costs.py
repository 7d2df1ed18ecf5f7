"""Which shape a batch gets: what it is thought to take, how that is corrected, and what comes of it under load."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from benchmarks.load_texts import lengths
from serving.engine import shapes
from serving.engine.shapes import Shape
from serving.scheduling.costs import Costs, served
from tests.serving.closed_loop import Loop

SHAPES = ((1, 32), (8, 32), (16, 32), (32, 32), (1, 128), (4, 128))


def truth(shape: Shape) -> float:
    """As measured for MiniLM on two cores: a batch as such, its tokens, and each token's attention to the others."""
    rows, length = shape
    return 0.02 + 2.5e-4 * rows * length + 3e-7 * rows * length**2


def costs_of(taken: tuple[Shape, ...] = SHAPES, **wrong: float) -> Costs:
    """Costs as warm-up saw them: true but for some, `r8x32=2.0` twice what it is."""
    off = {f"r{rows}x{length}": (rows, length) for rows, length in taken}
    factors = {off[name]: factor for name, factor in wrong.items()}
    return Costs({shape: truth(shape) * factors.get(shape, 1.0) for shape in taken})


def test_fifteen_rows_of_thirty_two_run_in_the_shape_that_is_least_a_row():
    assert costs_of().choose({32: 15}, 32) == (16, 32)
    assert costs_of(((1, 32), (8, 32), (32, 32))).choose({32: 15}, 32) == (8, 32), "twice 84 ms, not once 286"
    assert costs_of().choose({32: 9}, 32) == (8, 32)
    assert costs_of().choose({32: 1}, 32) == (1, 32)


def test_what_is_seen_corrects_the_shapes_that_do_not_run_in_proportion():
    costs = costs_of()
    for _ in range(50):
        costs.saw((16, 32), 3 * truth((16, 32)))
    for shape in SHAPES:
        assert costs.seconds(shape) == pytest.approx(3 * truth(shape), rel=0.05), "the machine is slower, not one shape"


def test_what_lies_around_the_engine_counts_for_every_batch():
    costs = costs_of()
    for _ in range(100):
        costs.saw((16, 32), truth((16, 32)), truth((16, 32)) + 0.01)
    for shape in SHAPES:
        assert costs.seconds(shape) == pytest.approx(truth(shape) + 0.01, rel=0.02)


def test_a_machine_that_slows_down_does_not_change_what_is_best():
    loop = Loop(costs_of(), lambda shape: truth(shape) * (3 if loop.now > 5 else 1), itertools.repeat(32))
    loop.run(200)
    assert loop.now > 10
    assert loop.run(200) > 0.97 * 16 / truth((16, 32)) / 3


def test_hiccups_at_warm_up_are_seen_for_what_they_are():
    costs = costs_of(r16x32=5.0, r1x32=9.0)
    for shape in SHAPES:
        assert costs.seconds(shape) == pytest.approx(truth(shape), rel=0.1)


@pytest.mark.parametrize("wrong", ["r1x32", "r8x32", "r16x32", "r32x32"])
@pytest.mark.parametrize("factor", [0.7, 2.0, 5.0])
def test_one_wrong_time_at_warm_up_changes_no_choice(wrong: str, factor: float):
    loop = Loop(costs_of(**{wrong: factor}), truth, itertools.repeat(32))
    loop.run(60)
    best = 16 / truth((16, 32))
    assert loop.run(100) > 0.97 * best
    assert loop.most_used(100) == (16, 32)


def test_hiccups_do_not_drive_the_best_shape_out():
    rng = random.Random(0)
    loop = Loop(costs_of(), lambda shape: truth(shape) * (4 if rng.random() < 0.1 else 1), itertools.repeat(32))
    loop.run(100)
    loop.run(400)
    assert Counter(loop.ran[-400:])[(16, 32)] > 300


def test_clients_who_wait_for_answers_keep_the_engine_in_full_batches():
    loop = Loop(costs_of(), truth, itertools.repeat(32))
    loop.run(50)
    loop.run(100)
    counts = Counter(loop.ran[-100:])
    assert counts[(16, 32)] >= 95, "32 clients: one half computes while the other waits"


@pytest.mark.parametrize("length", ["8", "32", "128", "zipf"])
def test_thirty_two_clients_get_nine_tenths_of_what_a_full_queue_gets(length: str):
    def rate(clients: int, front_seconds: float) -> float:
        chosen = shapes.choose(256, device="cpu")
        asked = (min(one, 256) for one in lengths(length, random.Random(0)))
        loop = Loop(Costs({one: truth(one) for one in chosen}), truth, asked, clients, front_seconds)
        loop.run(40)
        return loop.run(150)

    assert rate(32, 0.001) > 0.9 * rate(256, 0.0)


def test_short_rows_fill_a_batch_of_longer_ones_and_wait_for_none_that_is_full():
    costs = costs_of()
    assert costs.choose({32: 1, 128: 3}, 32) == (4, 128), "there is a place left"
    assert costs.choose({32: 1, 128: 4}, 32) == (1, 32), "the oldest row would not be among them"
    assert costs.choose({32: 16, 128: 1}, 32) == (16, 32)
    assert costs.choose({32: 2, 128: 2}, 128)[1] == 128


def test_a_batch_takes_the_longest_rows_that_it_holds():
    assert served({8: 5, 32: 2, 128: 9}, (4, 32)) == {32: 2, 8: 2}
    assert served({8: 5}, (16, 32)) == {8: 5}


def test_no_row_waits_for_ever_beside_those_that_fill_batches_better():
    asked = itertools.chain([8], itertools.cycle([128, 128, 128, 128, 32, 128]))
    loop = Loop(costs_of(), truth, asked, clients=64)
    loop.run(300)
    rows = 64  # nobody waits for longer than it takes to run what was there before it, one row at a time
    assert max(loop.waits) < rows * truth((1, 128))


def test_a_row_alone_runs_in_the_smallest_shape_that_holds_it():
    costs = costs_of(((16, 8), (1, 32), (4, 128), (1, 256)))
    assert [costs.alone(length) for length in (8, 32, 128, 256)] == [(1, 32), (1, 32), (1, 256), (1, 256)]


def any_shape() -> Costs:
    return Costs({shape: truth(shape) for shape in SHAPES}, takes_any_shape=True)


def test_a_batch_of_a_shape_that_never_ran_takes_what_its_rows_and_tokens_say():
    costs = any_shape()
    for shape in ((9, 32), (12, 32), (1, 96), (3, 72)):
        assert costs.seconds(shape) == pytest.approx(truth(shape), rel=0.01)


def test_batches_of_any_shape_have_no_row_too_many_and_hardly_a_token():
    loop = Loop(any_shape(), truth, itertools.repeat(9), clients=5)
    loop.run(10)
    assert set(loop.ran[2:]) <= {(rows, 32) for rows in (1, 2, 3, 4, 5)}, "no shorter than the shortest shape"
    loop = Loop(any_shape(), truth, itertools.repeat(90), clients=4)
    loop.run(10)
    assert {length for _, length in loop.ran} == {96}


def test_a_mix_of_lengths_is_served_sooner_where_any_shape_runs():
    def rate(takes_any_shape: bool) -> float:
        chosen = shapes.choose(384, device="cpu", most=shapes.MOST_SEEN)
        costs = Costs({one: truth(one) for one in chosen}, takes_any_shape=takes_any_shape)
        loop = Loop(costs, truth, lengths("zipf", random.Random(1)))
        loop.run(50)
        return loop.run(300)

    assert rate(True) > 1.05 * rate(False)
