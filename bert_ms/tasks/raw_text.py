"""What the tasks that learn from raw text share: rows from text files, and scores summed up row by row."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bert_ms.data.loader import Batches
from bert_ms.data.pretraining import prepare
from bert_ms.data.pretraining.batches import TextBatches
from bert_ms.data.pretraining.rows import TextRows
from bert_ms.tasks.findings import Finding, hidden_words
from bert_ms.tasks.work import Prepared, Purpose, Work

logger = logging.getLogger(__name__)

# exp() of more overflows
_MOST = 700.0


class RawTextWork(Work):
    """The work of a task on raw text; `data` and `pretraining` of the configuration are used.

    Attributes:
        pairs: rows are pairs of segments.
        masks: words are hidden; otherwise each place predicts the next one's.
        summed: names of the scorer's outputs: a row's loss, and over how many pieces it is the sum.
    """

    pairs: ClassVar[bool] = False
    masks: ClassVar[bool] = True
    summed: ClassVar[tuple[str, str]] = ("masked_loss_sum", "masked_count")

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read text files and cut them into rows, with fixed masks for evaluation.

        Raises:
            DataError: files that cannot be used.
        """
        is_training = purpose == "train"
        data, pretraining = self.config.data, self.config.pretraining
        is_static = is_training and self.masks and pretraining.masking == "static"
        rows = prepare.load(
            path,
            self.tokenizer,
            data,
            pretraining,
            pairs=self.pairs,
            masks=self.masks,
            seed=self.config.seed if is_training else prepare.EVALUATION_SEED,
            copies=pretraining.dupe_factor if is_static else 1,
            limit=data.max_train_examples if is_training else data.max_eval_examples,
        )
        documents = range(rows.corpus.document_count)
        if is_static:
            return Prepared(documents, prepare.static(rows, data))
        return Prepared(documents, rows if is_training else rows.features(np.arange(len(rows))))

    def batches(self, prepared: Prepared, *, batch_size: int, seed: int, rank: int, size: int) -> TextBatches | Batches:
        """Training batches; with dynamic masking each epoch has masks of its own."""
        data = self.config.data
        if not isinstance(prepared.rows, TextRows):
            return super().batches(prepared, batch_size=batch_size, seed=seed, rank=rank, size=size)  # type: ignore
        return TextBatches(
            prepared.rows,
            batch_size=batch_size,
            max_length=data.max_length,
            seed=seed,
            buckets=data.buckets,
            rank=rank,
            size=size,
        )

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> list[dict[str, float]]:
        """The scorer's sums, one dictionary a row."""
        del prepared
        return [dict(zip(outputs, map(float, row), strict=True)) for row in zip(*outputs.values(), strict=True)]

    def score(self, prepared: Prepared, predictions: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Loss in nats, perplexity, accuracy in percent; see `scores_of`."""
        del prepared
        names = predictions[0] if predictions else ()
        return self.scores_of({name: sum(row[name] for row in predictions) for name in names}, len(predictions))

    @abstractmethod
    def scores_of(self, sums: Mapping[str, float], rows: int) -> dict[str, float]:
        """Scores by name from the sums of the scorer's outputs over all rows."""

    def findings(self, prepared: Prepared, predictions: Sequence[Mapping[str, float]]) -> Sequence[Finding]:
        """How the losses of rows are spread, and the rows that were hardest."""
        sums, counts = (np.array([row[name] for row in predictions]) for name in self.summed)
        return hidden_words.of_rows(prepared.features, self.tokenizer, sums, counts)

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[Any]) -> list[Path]:
        """Nothing: scores are all that there is to tell of text."""
        del directory, prepared, predictions
        return []


def perplexity(loss: float) -> float:
    """exp(loss): among how many equally likely words the network hesitates."""
    return math.exp(min(loss, _MOST))
