"""Progress: times kept apart, plain lines where there is no terminal."""

from __future__ import annotations

import io
import logging

import pytest

from bert_ms.training.progress import ProgressReporter


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _reporter(clock: Clock, stream: io.StringIO, **options: float) -> ProgressReporter:
    return ProgressReporter(total_steps=100, stream=stream, clock=clock, **options)  # type: ignore[arg-type]


def test_compiling_steps_are_not_in_the_speed(clock: Clock) -> None:
    with _reporter(clock, io.StringIO()) as progress:
        for step in range(1, 5):
            if step in (1, 3):
                progress.compiling((16, 128 * step))
                clock.now += 20
            clock.now += 2
            progress.step(step, samples=16, loss=1.0)
    assert progress.samples_per_second == pytest.approx(8)
    assert (progress.compile_seconds, progress.train_seconds) == (44, 4)
    assert progress.seconds_left == pytest.approx(2 * 96)
    assert progress.samples == 64


def test_evaluating_and_saving_are_timed_apart(clock: Clock) -> None:
    with _reporter(clock, io.StringIO()) as progress:
        clock.now += 2
        progress.step(1, samples=16)
        for _ in progress.evaluating(range(3), total=3):
            clock.now += 5
        clock.now += 1
        with progress.apart("saving"):
            clock.now += 7
        clock.now += 1
        progress.step(2, samples=16)
    assert progress.apart_seconds == {"evaluating": 15, "saving": 7}
    assert progress.train_seconds == 4
    assert progress.samples_per_second == pytest.approx(8)


def test_without_terminal_there_is_a_line_now_and_then_and_for_the_last_step(clock: Clock) -> None:
    stream = io.StringIO()
    with _reporter(clock, stream, plain_seconds=10) as progress:
        for step in range(1, 101):
            clock.now += 1
            progress.step(step, samples=16, loss=100 / step, learning_rate=1e-4, epoch=step / 50)
    lines = stream.getvalue().splitlines()
    assert [int(line.split("/")[0].removeprefix("step ")) for line in lines] == [*range(1, 92, 10), 100]
    assert lines[1] == "step 11/100: epoch 0.22, loss 9.0909, lr 1.00e-04, 16.0 samples/s, 1m29s left"
    assert "\r" not in stream.getvalue()


def test_new_shape_is_announced(clock: Clock) -> None:
    stream = io.StringIO()
    with _reporter(clock, stream) as progress:
        progress.compiling((16, 128))
    assert stream.getvalue() == "compiling the train step for 16 x 128 (once for each shape)\n"


def test_terminal_gets_one_bar_and_messages_above_it(clock: Clock) -> None:
    stream = Terminal()
    with _reporter(clock, stream) as progress:
        clock.now += 1
        progress.step(40, samples=16, loss=2.5, learning_rate=3e-5)
        progress.message("evaluated")
        clock.now += 1
        progress.step(100, samples=16, loss=1.25)
    shown = stream.getvalue()
    assert "40/100, loss 2.5000, lr 3.00e-05" in shown
    assert "100/100, loss 1.2500" in shown
    assert "evaluated\n" in shown
    assert "\r" in shown


def test_resumed_run_starts_where_it_was(clock: Clock) -> None:
    with ProgressReporter(total_steps=100, start_step=60, stream=io.StringIO(), clock=clock) as progress:
        clock.now += 3
        progress.step(61, samples=16)
    assert progress.seconds_left == pytest.approx(3 * 39)


def test_other_workers_are_silent_and_still_measure(clock: Clock) -> None:
    stream = Terminal()
    with ProgressReporter(total_steps=9, stream=stream, clock=clock, enabled=False) as progress:
        progress.compiling((1, 2))
        clock.now += 1
        progress.step(1, samples=4)
        assert list(progress.evaluating([1, 2], total=2)) == [1, 2]
        progress.message("x")
    assert stream.getvalue() == ""
    assert progress.compile_seconds == 1


def test_console_logging_is_given_back(clock: Clock) -> None:
    before = logging.getLogger().handlers[:]
    with _reporter(clock, Terminal()):
        pass
    assert logging.getLogger().handlers == before
