"""The learning rate rises, falls and ends where its configuration says."""

from __future__ import annotations

import math

import pytest

from bert_ms.config import ScheduleConfig
from bert_ms.errors import ConfigError
from bert_ms.training.schedules import schedule, warmup_steps


def rates(total: int = 10, **config) -> list[float]:
    rate = schedule(ScheduleConfig(**config), peak=1.0, total_steps=total)
    return [rate(step) for step in range(total)]


def test_warmup_rises_in_equal_parts_to_the_peak():
    assert rates(warmup_steps=4)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_linear_falls_to_almost_nothing_with_the_last_step():
    assert rates(warmup_steps=0) == pytest.approx([1 - step / 10 for step in range(10)])


def test_polynomial_takes_the_power():
    assert rates(name="polynomial", power=2.0, warmup_steps=0)[5] == pytest.approx(0.25)


def test_cosine_is_half_way_down_at_half_time():
    values = rates(name="cosine", warmup_steps=0)
    assert values[5] == pytest.approx(0.5)
    assert values[1] == pytest.approx(0.5 * (1 + math.cos(math.pi / 10)))


def test_constant_stays_at_the_peak():
    assert rates(name="constant", warmup_steps=2) == [0.5, *[1.0] * 9]


@pytest.mark.parametrize("name", ["linear", "polynomial", "cosine"])
def test_end_factor_is_the_rate_after_the_last_step(name):
    rate = schedule(ScheduleConfig(name=name, end_factor=0.2, warmup_steps=0), peak=2.0, total_steps=10)
    assert rate(10) == rate(1000) == pytest.approx(0.4)


def test_warmup_ratio_is_rounded_up():
    assert warmup_steps(ScheduleConfig(warmup_ratio=0.1), 11) == 2


def test_a_warmup_as_long_as_the_run_is_an_error():
    with pytest.raises(ConfigError, match="warmup_steps is 10, but the whole run has 10 steps"):
        rates(warmup_steps=10)


def test_a_run_of_one_step_learns():
    assert rates(total=1) == [1.0]
