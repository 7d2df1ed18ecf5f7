"""The loss scale halves, grows, stops at its floor, and gives up with advice."""

from __future__ import annotations

import pytest

from bert_ms.config import PrecisionConfig
from bert_ms.errors import TrainingError
from bert_ms.training.loss_scale import LossScale


def scale_after(skips: list[bool], **config) -> LossScale:
    scale = LossScale(PrecisionConfig(dtype="float16", **config))
    for skipped in skips:
        scale.update(skipped=skipped)
    return scale


def test_float32_has_no_scale_and_float16_a_dynamic_one():
    assert not LossScale(PrecisionConfig()).is_used
    scale = LossScale(PrecisionConfig(dtype="float16"))
    assert (scale.kind, scale.value) == ("dynamic", 65536.0)


def test_an_overflow_halves_the_scale():
    assert scale_after([True, False, True]).value == 16384.0


def test_the_scale_grows_after_the_interval_only():
    assert scale_after([False] * 3, growth_interval=4).value == 65536.0
    assert scale_after([False] * 4, growth_interval=4).value == 131072.0
    assert scale_after([False, False, False, True, False, False, False], growth_interval=4).value == 32768.0


def test_the_scale_never_falls_below_its_floor():
    assert scale_after([True] * 30, min_scale=128.0).value == 128.0


def test_a_static_scale_never_moves():
    assert scale_after([True, False, True], loss_scale="static", init_scale=1024.0).value == 1024.0


def test_too_many_overflows_in_a_row_end_the_run_with_advice():
    with pytest.raises(TrainingError, match=r"not finite in 5 steps in a row; the loss scale is 2048 .*learning_rate"):
        scale_after([True] * 5, max_skipped_steps=5)


def test_overflows_with_a_good_step_between_do_not_end_the_run():
    assert scale_after([True, True, False] * 10, max_skipped_steps=3).skipped_total == 20


def test_a_restored_scale_goes_on_as_if_nothing_had_happened():
    before = scale_after([True, False, False], growth_interval=3)
    after = LossScale(PrecisionConfig(dtype="float16", growth_interval=3))
    after.restore(before.state())
    after.update(skipped=False)
    before.update(skipped=False)
    assert after.state() == before.state()
    assert after.value == 65536.0
