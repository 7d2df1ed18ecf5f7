"""What the train loop tells those who watch it: the recorder of progress and metrics, and a user's hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What the run is about to do.

    Attributes:
        total_steps: optimiser steps of the whole run.
        steps_per_epoch: optimiser steps of one pass over the data, as a fraction where accumulation does not divide it.
        first_step: 0, or the steps that were done before the run was interrupted.
        is_resumed: the run goes on from a checkpoint; what was recorded of later steps is to be forgotten.
        samples_per_step: rows of one optimiser step, on all devices.
        metric: the score that decides which checkpoint is best; None when nothing is evaluated.
    """

    total_steps: int
    steps_per_epoch: float
    first_step: int
    is_resumed: bool
    samples_per_step: int
    metric: str | None


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step that is done.

    Attributes:
        step: 1 for the first.
        epoch: passes over the data so far, as a fraction.
        loss: mean over the step's micro-batches and over all devices.
        learning_rate: before the groups' factors.
        grad_norm: global norm before clipping.
        loss_scale: 1 where none is used.
        is_skipped: gradients overflowed and no weight was changed.
        samples: rows, on all devices.
        tokens: of these rows, padding left out, on this device.
        seconds: that the step took, from batch to loss.
        is_compiling: the step met a new shape, so that most of its time went into compiling a graph.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    loss_scale: float
    is_skipped: bool
    samples: int
    tokens: int
    seconds: float
    is_compiling: bool


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """One evaluation that is done.

    Attributes:
        step: optimiser steps before it; 0 for the weights as they came.
        epoch: passes over the data before it.
        scores: by name.
        seconds: that it took.
        is_best: the best so far.
    """

    step: int
    epoch: float
    scores: Mapping[str, float]
    seconds: float
    is_best: bool


@dataclass(frozen=True)
class Hook:
    """A function of the user's that is called after every n-th optimiser step."""

    function: Callable[[StepReport], None]
    every: int = 1
