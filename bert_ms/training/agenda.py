"""When a run ends, evaluates and saves: all of it by the number of optimiser steps done."""

from __future__ import annotations

from dataclasses import dataclass

from bert_ms.config import TrainingConfig
from bert_ms.errors import ConfigError


@dataclass(frozen=True)
class Agenda:
    """What is due after which step.

    Args:
        training: the loop's configuration.
        per_epoch: micro-batches of one pass over the data.
        has_evaluation: there is something to evaluate on.
    """

    training: TrainingConfig
    per_epoch: int
    has_evaluation: bool = False

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run.

        Raises:
            ConfigError: there is not even one.
        """
        training = self.training
        steps = int(training.epochs * self.per_epoch / training.accumulate + 1e-9)
        steps = steps if training.max_steps is None else min(steps, training.max_steps)
        if steps < 1:
            raise ConfigError(
                f"training.epochs {training.epochs} of {self.per_epoch} batches, {training.accumulate} for each "
                f"update, make no optimiser step: train longer, or set training.accumulate lower."
            )
        return steps

    @property
    def steps_per_epoch(self) -> float:
        """Optimiser steps of one pass; not whole where accumulation does not divide it."""
        return self.per_epoch / self.training.accumulate

    def epoch(self, step: int) -> float:
        """Passes over the data that are done after a step."""
        return step * self.training.accumulate / self.per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether a step took the last batch of a pass."""
        done = step * self.training.accumulate
        return done // self.per_epoch > (done - self.training.accumulate) // self.per_epoch

    def evaluates_after(self, step: int) -> bool:
        """Whether there is an evaluation after a step; step 0 is before the first."""
        if not self.has_evaluation:
            return False
        if step == 0:
            return self.training.evaluate_before
        if step >= self.total_steps:
            return True
        every = self.training.eval_every
        return self.ends_epoch(step) if every is None else step % every == 0

    def saves_after(self, step: int) -> bool:
        """Whether there is a checkpoint after a step, beside those around evaluations and at the end."""
        every = self.training.save_every
        if step == 0:
            return False
        if every is None:
            return not self.has_evaluation and self.ends_epoch(step)
        return step % every == 0
