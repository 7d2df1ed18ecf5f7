"""Whether the second text follows the first: pairs of texts with one of two labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data.text_examples import SINGLE
from bert_ms.errors import ConfigError
from bert_ms.records import TextExample
from bert_ms.tasks.sequence_classification import SequenceClassificationWork

# Output 0 of the pretrained head is "it follows".
LABELS = ("0", "1")


class NextSentenceWork(SequenceClassificationWork):
    """The work of next-sentence: label 0 where the second text follows, 1 where it does not.

    Other names may be given as `data.labels`, that of texts that follow first.
    """

    @classmethod
    def problem_type_of(cls, config: RunConfig, known: BertConfig | None, train_file: str | Path | None) -> str:
        """One label a pair."""
        return SINGLE

    def network_fields(self) -> Mapping[str, Any]:
        """None: the head has two outputs, whatever their names."""
        return {}

    def _begin(self, train_file: str | Path | None) -> None:
        self.problem_type, self.labels = SINGLE, self._given()

    def _given(self) -> tuple[str, ...]:
        labels = self.data.labels or LABELS
        if len(labels) != 2:
            raise ConfigError(f"data.labels is [{', '.join(labels)}]: expected two, that of texts that follow first.")
        return labels

    def _settle(self, examples: Sequence[TextExample], path: str | Path) -> None:
        """Nothing: the labels are known."""

    def _check_pairs(self, examples: Sequence[TextExample]) -> None:
        if any(example.pair is None for example in examples):
            raise ConfigError("data.pair_column is not given: name the column of the second text.")
