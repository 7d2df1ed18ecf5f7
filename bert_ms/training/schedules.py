"""The learning rate as a function of the step, computed on the host in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

from bert_ms.config.run import ScheduleConfig
from bert_ms.errors import ConfigError, unknown

Schedule = Callable[[int], float]


def schedule(config: ScheduleConfig, *, peak: float, total_steps: int) -> Schedule:
    """The learning rate of every optimiser step.

    Step 0 is the first update. Warm-up rises in equal parts and reaches the peak with its last step, so that no step is
    wasted on a rate of 0; the decay then starts from the peak and would reach `peak * end_factor` at `total_steps`.

    Args:
        config: shape of warm-up and decay.
        peak: learning rate after warm-up.
        total_steps: optimiser steps of the whole run, warm-up included.

    Returns:
        A function of the step number, 0 up to `total_steps - 1`; beyond, it stays at the last value.

    Raises:
        ConfigError: warm-up is longer than the run, or the schedule's name is unknown.

    Source: linear warm-up and polynomial decay of google-research/bert optimization.py (which starts from rate 0 and
        lets step 0 do nothing); cosine of Loshchilov and Hutter 2017, section 3, without restarts.
    """
    warmup = warmup_steps(config, total_steps)
    if config.name not in _DECAYS:
        raise ConfigError(unknown("schedule", config.name, _DECAYS))
    decay = _DECAYS[config.name]

    def rate(step: int) -> float:
        if step < warmup:
            return peak * (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return peak * (config.end_factor + (1 - config.end_factor) * decay(progress, config.power))

    return rate


def warmup_steps(config: ScheduleConfig, total_steps: int) -> int:
    """Optimiser steps of warm-up: as configured, or the configured part of the run, rounded up.

    Raises:
        ConfigError: the run is not longer than its warm-up.
    """
    if config.warmup_steps is None:
        return min(math.ceil(total_steps * config.warmup_ratio), total_steps)
    if config.warmup_steps >= total_steps > 0:
        raise ConfigError(
            f"schedule.warmup_steps is {config.warmup_steps}, but the whole run has {total_steps} steps: "
            f"take fewer, or leave it out and set schedule.warmup_ratio."
        )
    return config.warmup_steps


_DECAYS: dict[str, Callable[[float, float], float]] = {
    "linear": lambda progress, power: 1 - progress,
    "polynomial": lambda progress, power: (1 - progress) ** power,
    "cosine": lambda progress, power: 0.5 * (1 + math.cos(math.pi * progress)),
    "constant": lambda progress, power: 1.0,
}
