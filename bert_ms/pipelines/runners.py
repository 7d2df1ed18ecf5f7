"""What runs a network over a data set: its Cell, or what was exported of it; features and decoding are the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bert_ms import tasks
from bert_ms.config import BertConfig, RunConfig
from bert_ms.data.loader import EvaluationBatches
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.pipelines.exported import Exported
from bert_ms.pipelines.loading import OpenedModel, is_new_head, load_network
from bert_ms.pipelines.word_scores import WordScores
from bert_ms.tasks import Task
from bert_ms.tasks.work import Work
from bert_ms.training.distributed import Distributed
from bert_ms.training.evaluation import Run, Watch, gather_outputs, outputs_of
from bert_ms.training.session import Session, start
from bert_ms.training.worker import inside_worker

logger = logging.getLogger(__name__)


class Runner(Protocol):
    """A network that can be run over batches.

    Attributes:
        config: of the network.
        format: what runs it: cell, onnx or mindir.
        precision: of its numbers.
        parameters: numbers in it; None where that is not known.
    """

    @property
    def config(self) -> BertConfig: ...
    @property
    def parameters(self) -> int | None: ...
    @property
    def format(self) -> str: ...
    @property
    def precision(self) -> str: ...

    def outputs(
        self,
        batches: EvaluationBatches,
        row_splits: np.ndarray,
        *,
        distributed: Distributed | None = None,
        watch: Watch | None = None,
        before_batch: Callable[[], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Outputs of every row, and what decoding needs beside them; see `training.evaluation`."""

    def facts(self) -> dict[str, object]:
        """What a report says of its size."""


class CellRunner:
    """A Cell in this process, among others perhaps.

    Args:
        network: whose weights may change between calls.
        task: of the network.
        precision: that it computes in.
    """

    format = "cell"

    def __init__(self, network: Any, task: Task, *, precision: str = "float32"):
        self.network, self.task, self.precision = network, task, precision
        self._evaluated = task.evaluated(network)

    @property
    def config(self) -> BertConfig:
        """Of the network."""
        found: BertConfig = self.network.config
        return found

    def outputs(self, batches: EvaluationBatches, row_splits: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
        """See `Runner`."""
        return outputs_of(self._evaluated, batches, row_splits, self.task, **options)

    def facts(self) -> dict[str, object]:
        """See `Runner`."""
        return {"parameters": f"{self.parameters:,}"}

    @property
    def parameters(self) -> int:
        """Numbers in the network."""
        return count_parameters(self.network)


def count_parameters(network: Any) -> int:
    """Numbers in a Cell; of layers in int8 those that they were made of."""
    from bert_ms import model

    return model.count_parameters(network)


@dataclass(frozen=True)
class ExportedRunner:
    """An exported network in this process.

    Attributes:
        exported: the network.
        task: that it was exported for.
        backend: runs it.
        parameters: not known.
    """

    exported: Exported
    task: Task
    backend: Any
    parameters: int | None = None

    @property
    def config(self) -> BertConfig:
        """Of the network."""
        return self.exported.config

    @property
    def format(self) -> str:
        """What runs it."""
        return self.exported.record.format

    @property
    def precision(self) -> str:
        """Of its numbers."""
        return self.exported.record.precision

    def outputs(self, batches: EvaluationBatches, row_splits: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
        """See `Runner`."""
        run: Run = self.backend.run
        if self.task.scorer is not None:
            run = WordScores(run, self.task, vocab_size=self.config.vocab_size)
        found = gather_outputs(run, batches, row_splits, self.task, **options)
        return found | dict(self.exported.weights)

    def facts(self) -> dict[str, object]:
        """See `Runner`."""
        return {"exported files": f"{self.exported.record.size / 1e6:,.1f} MB"}


def by_one_process(exported: Exported) -> str:
    """One sentence for an exported network that is given to several workers."""
    return f"{exported.path} is an exported network, which one process runs: leave --devices out."


def start_session(config: RunConfig, opened: OpenedModel) -> tuple[Session, Any]:
    """This process, ready to run the opened model; with the backend of an exported one, else None.

    Raises:
        ConfigError: an exported network was given to several workers.
        DeviceError: the device is not there, or cannot compute in the precision asked for.
    """
    if opened.exported is None:
        return start(config), None
    if inside_worker():
        raise ConfigError(by_one_process(opened.exported))
    backend = opened.exported.backend(device=config.device, threads=config.threads)
    record = opened.exported.record
    logger.info(
        "%s: exported as %s, %s; device %s", opened.exported.path, record.format, record.precision, backend.device
    )
    return Session(backend.device, Distributed()), backend


def load_runner(config: RunConfig, opened: OpenedModel, work: Work, backend: Any = None) -> Runner:
    """What runs the opened model.

    Args:
        config: of the run.
        opened: what `open_model` gave for it.
        work: of the run, with its data prepared.
        backend: what `start_session` gave with it.

    Raises:
        CheckpointError: the weights cannot be read or do not fit; an exported network was made for other labels.
        ConfigError: a configuration cannot be used.
    """
    task = tasks.get(config.task)
    if opened.exported is None:
        return CellRunner(load_network(config, opened, work), task, precision=config.precision.dtype)
    fields = dict(work.network_fields())
    if is_new_head(opened.config, fields):
        differing = {name: value for name, value in fields.items() if getattr(opened.config, name) != value}
        there = ", ".join(f"{name} {getattr(opened.config, name)}" for name in differing)
        asked = ", ".join(f"{name} {value}" for name, value in differing.items())
        raise CheckpointError(
            f"{opened.exported.path} was exported with {there}; data and configuration ask for {asked}: use those that "
            f"the network was trained with (labels of the data, model.token_head)."
        )
    return ExportedRunner(opened.exported, task, backend)
