"""What a task knows about its own data, answers and scores; training and evaluation know nothing else of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from bert_ms.data.loader import RowSource
from bert_ms.records import Features
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
    facts: Mapping[str, Any]

    @property
    def features(self) -> Features:
        """The rows, all of them in memory, as evaluation and prediction have them."""
        assert isinstance(self.rows, Features), "only training streams its rows"
        return self.rows


class Work(Protocol):
    """The methods of a task's work; built as `work(config, tokenizer)` from a RunConfig and a Tokenizer.

    Attributes:
        tokenizer: as given.
    """

    tokenizer: Tokenizer

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read a file and make its features, from the cache where they are known."""

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> Sequence[Any]:
        """Predictions from outputs by name, each flat [T, ...] (one a token) or [rows, ...] (one a row).

        What can only be chosen with all of them at hand, such as a searched threshold, is chosen here.
        """

    def score(self, prepared: Prepared, predictions: Sequence[Any]) -> dict[str, float]:
        """Scores by name; the task's metric is among them."""

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[Any]) -> list[Path]:
        """Write the task's prediction files, atomically; returns them."""
