"""The factor that keeps float16 gradients from vanishing, moved on the host after each step."""

from __future__ import annotations

import logging
from typing import Any

from bert_ms.config.run import PrecisionConfig
from bert_ms.errors import TrainingError

logger = logging.getLogger(__name__)


class LossScale:
    """A loss scale that halves when gradients overflow and grows after a long run without.

    Args:
        config: kind, start, factor, growth interval, floor, and how many overflows in a row end the run.

    Source: Micikevicius et al. 2018, "Mixed precision training", section 3.2.
    """

    def __init__(self, config: PrecisionConfig):
        self._config = config
        kind = config.loss_scale
        self.kind = ("dynamic" if config.dtype == "float16" else "none") if kind == "auto" else kind
        self.value = 1.0 if self.kind == "none" else config.init_scale
        self._good_steps = 0
        self._skipped_in_a_row = 0
        self.skipped_total = 0

    @property
    def is_used(self) -> bool:
        """Whether the step needs to scale and to check at all."""
        return self.kind != "none"

    def update(self, *, skipped: bool) -> None:
        """Account for one step.

        Args:
            skipped: the step's gradients were not finite, so that no weight was changed.

        Raises:
            TrainingError: so many steps in a row overflowed that the run would never go on.
        """
        if not skipped:
            self._skipped_in_a_row = 0
            self._good_steps += 1
            if self.kind == "dynamic" and self._good_steps >= self._config.growth_interval:
                self.value *= self._config.scale_factor
                self._good_steps = 0
            return
        self._good_steps = 0
        self._skipped_in_a_row += 1
        self.skipped_total += 1
        if self.kind == "dynamic":
            self.value = max(self._config.min_scale, self.value / self._config.scale_factor)
        logger.info("gradients overflowed; the step was skipped, the loss scale is now %g", self.value)
        if self._skipped_in_a_row >= self._config.max_skipped_steps:
            raise TrainingError(self._advice())

    def _advice(self) -> str:
        text = (
            f"gradients were not finite in {self._skipped_in_a_row} steps in a row; the loss scale is "
            f"{self.value:g} ({self.kind}). "
        )
        if self.kind == "static":
            return text + "Set precision.loss_scale=dynamic, or a smaller precision.init_scale."
        return text + (
            "Try a lower optimizer.learning_rate or a longer schedule.warmup_ratio, check the data, or compute in "
            "precision.dtype=float32; precision.max_skipped_steps sets how long to wait."
        )

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, as JSON values."""
        return {
            "kind": self.kind,
            "value": self.value,
            "good_steps": self._good_steps,
            "skipped_in_a_row": self._skipped_in_a_row,
            "skipped_total": self.skipped_total,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` gave."""
        self.value = float(state["value"])
        self._good_steps = int(state["good_steps"])
        self._skipped_in_a_row = int(state["skipped_in_a_row"])
        self.skipped_total = int(state["skipped_total"])
