"""What a run gives back to its caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ALREADY = "finished before"
TERMINATED = 143  # for a worker that was asked to stop by another one


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came of a run.

    Attributes:
        status: finished, stopped early, interrupted, or finished before.
        folder: where everything is.
        steps: optimiser steps done.
        best_step: after which the best weights were found; None where nothing was evaluated.
        metric: the score that decides.
        scores: of the best weights.
        before: scores of the weights as they came.
        seconds: where the time went.
        exit_status: for the shell: 0, or 128 + the number of the signal that ended it.
    """

    status: str
    folder: Path
    steps: int = 0
    best_step: int | None = None
    metric: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    exit_status: int = 0

    @classmethod
    def of(cls, folder: Path, values: Mapping[str, Any]) -> RunResult:
        """What is known of the run in a folder, `result.json` for example, as its result."""
        known = {field.name for field in fields(cls)} - {"folder"}
        return cls(folder=folder, **{name: value for name, value in values.items() if name in known})
