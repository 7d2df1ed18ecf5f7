"""What a task knows about its own data, answers and scores; training and evaluation know nothing else of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data.loader import Batches, RowSource
from bert_ms.records import Features
from bert_ms.tasks.findings import Finding
from bert_ms.tokenization import Tokenizer

Purpose = Literal["train", "evaluate", "predict"]


@dataclass(frozen=True)
class Prepared:
    """A data set, read and turned into features.

    Attributes:
        examples: as the task's reader gives them.
        rows: what the network sees, with labels if it is to train; for training perhaps a source that streams them.
        facts: of the data set that decoding or scoring needs, for example whether questions may have no answer.
    """

    examples: Sequence[Any]
    rows: Features | RowSource
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def features(self) -> Features:
        """The rows, all of them in memory, as evaluation and prediction have them."""
        assert isinstance(self.rows, Features), "only training streams its rows"
        return self.rows


class Work(ABC):
    """A task's work, for one run.

    Args:
        config: the run's.
        tokenizer: of the network.
        known: the network's configuration as its weights come; its labels are those of an earlier training. None
            where no weights are at hand.
    """

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, known: BertConfig | None = None):
        self.config, self.tokenizer, self.known = config, tokenizer, known

    @classmethod
    def metric(cls, config: RunConfig) -> str | None:
        """The score that decides where `training.metric` says none; None takes the task's usual one.

        Raises:
            ConfigError: the configuration names no data set of this task, or not the columns.
            DataError: it can be told from the training file only, which cannot be read.
        """
        return None

    @abstractmethod
    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read a file and make its features, from the cache where they are known; training data is prepared first."""

    @abstractmethod
    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> Sequence[Any]:
        """Predictions from outputs by name, each flat [T, ...] (one a token) or [rows, ...] (one a row).

        What can only be chosen with all of them at hand, such as a searched threshold, is chosen here.
        """

    @abstractmethod
    def score(self, prepared: Prepared, predictions: Sequence[Any]) -> dict[str, float]:
        """Scores by name, in percent where they are parts of a whole; the task's metric is among them."""

    @abstractmethod
    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[Any]) -> list[Path]:
        """Write the task's prediction files, atomically; returns them."""

    def network_fields(self) -> Mapping[str, Any]:
        """Fields of BertConfig that the data settle (`labels`, `num_labels`, `problem_type`, ...), after `prepare`.

        Where they differ from what the weights come with, the head is made anew.
        """
        return {}

    def batches(self, prepared: Prepared, *, batch_size: int, seed: int, rank: int, size: int) -> Any:
        """The training data as `training.trainer.MicroBatches`: the same batches in the same order always.

        Args:
            prepared: what `prepare` gave for training.
            batch_size: rows of a batch of one worker.
            seed: of the run.
            rank: this worker, from 0.
            size: number of workers.
        """
        buckets = self.config.data.buckets
        return Batches(prepared.rows, batch_size=batch_size, seed=seed, buckets=buckets, rank=rank, size=size)

    @classmethod
    def reads_windows(cls) -> bool:
        """Whether a long example is read in several rows, `data.stride` apart."""
        return False

    def findings(self, prepared: Prepared, predictions: Sequence[Any]) -> Sequence[Finding]:
        """What the report shows of scored predictions: tables, curves, mistakes."""
        return ()
