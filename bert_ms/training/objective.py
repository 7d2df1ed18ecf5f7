"""What training minimises: the loss of a task's network."""

from __future__ import annotations

from mindspore import nn

from bert_ms.config import RunConfig
from bert_ms.model import WithLoss
from bert_ms.tasks import Task


def objective(network: nn.Cell, task: Task, config: RunConfig) -> nn.Cell:
    """The Cell that is differentiated: (inputs, labels of the task[, dropout_key]) -> float32 scalar.

    Args:
        network: with the task's head.
        task: of the network.
        config: of the run.
    """
    if task.objective is not None:
        made: nn.Cell = task.load("objective")(network)
        return made
    return WithLoss(network)
