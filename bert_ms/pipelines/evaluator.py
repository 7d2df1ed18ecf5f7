"""Scoring a network on a data set: outputs, predictions, scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms.config import RunConfig
from bert_ms.data.loader import EvaluationBatches
from bert_ms.tasks import Task
from bert_ms.tasks.work import Prepared, Work
from bert_ms.training.distributed import Distributed
from bert_ms.training.recorder import Recorder
from bert_ms.training.signals import StopRequest
from bert_ms.training.state import write_arrays
from bert_ms.training.trainer import Interrupted

if TYPE_CHECKING:
    from bert_ms.pipelines.runners import Runner

logger = logging.getLogger(__name__)

OUTPUTS = "best/outputs.safetensors"


class Evaluator:
    """Runs a network over one prepared data set, as often as it is called.

    Args:
        runner: of the network, whose weights may change between calls.
        task: of the network.
        work: of the task.
        prepared: the data set.
        config: the run's.
        distributed: this process among the workers; each runs its part, all get everything.
        stop: looked at before each batch.
    """

    def __init__(
        self,
        runner: Runner,
        task: Task,
        work: Work,
        prepared: Prepared,
        config: RunConfig,
        *,
        distributed: Distributed | None = None,
        stop: StopRequest | None = None,
    ):
        self.runner, self.task, self.work, self.prepared = runner, task, work, prepared
        self.distributed = distributed or Distributed()
        self.stop = stop if stop is not None else StopRequest()
        self.batches = EvaluationBatches(
            prepared.features,
            batch_size=config.evaluation.batch_size,
            buckets=config.data.buckets,
            rank=self.distributed.rank,
            size=self.distributed.size,
        )
        self.outputs: dict[str, np.ndarray] = {}
        self.predictions: Sequence[Any] = ()

    def __call__(self, recorder: Recorder) -> dict[str, float]:
        """Scores by name; `outputs` and `predictions` are then those that were scored.

        Raises:
            Interrupted: the process was asked to stop.
        """
        self.run(recorder)
        return self.work.score(self.prepared, self.predictions)

    def run(self, recorder: Recorder) -> None:
        """Outputs and predictions, without scores; see `__call__`."""
        self.outputs = self.runner.outputs(
            self.batches,
            self.prepared.features.group_splits(),
            distributed=self.distributed,
            watch=recorder.evaluating,
            before_batch=self._leave_if_asked,
        )
        self.predictions = self.work.decode(self.prepared, self.outputs)

    def keep(self, directory: Path, step: int) -> None:
        """Keep the outputs, so that the predictions of the best weights need not be computed again."""
        write_arrays(directory / OUTPUTS, self.outputs, {"step": str(step)})

    def recall(self, directory: Path, step: int | None) -> bool:
        """Take back what `keep` kept for this step; false if there is nothing of this step."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(directory / OUTPUTS, "np") as file:
                if (file.metadata() or {}).get("step") != str(step):
                    return False
                self.outputs = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (FileNotFoundError, SafetensorError):
            return False
        self.predictions = self.work.decode(self.prepared, self.outputs)
        return True

    def _leave_if_asked(self) -> None:
        if self.distributed.any(bool(self.stop)):
            raise Interrupted


def rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Scores for people: four decimals."""
    return {name: round(float(value), 4) for name, value in scores.items()}
