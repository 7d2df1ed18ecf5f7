"""The right one of several ends: rows of choices in, the choice taken out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data import choice_examples, datasets, storage, text_features
from bert_ms.decoding import label_files
from bert_ms.decoding import labels as decoding
from bert_ms.metrics import classification as metrics
from bert_ms.records import LABELS, ChoiceExample, ChoicePrediction, Features
from bert_ms.tasks.findings import Finding
from bert_ms.tasks.findings import choices as choice_findings
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

_COLUMNS = ("id", "prediction", "probability", "label", "text", "choice")
# What of the configuration decides which examples are read.
_READING = ("dataset", "format", "text_column", "pair_column", "label_column", "id_column", "choice_columns",
            "has_header", "labels", "on_bad_answer")  # fmt: skip


class MultipleChoiceWork(Work):
    """The work of multiple choice: every choice is a row, and the rows of an example reach the network together."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, known: BertConfig | None = None):
        super().__init__(config, tokenizer, known)
        self.data = config.data
        self.dataset = datasets.get(config.data.dataset, task=config.task)

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read a table of choices; labels are needed to train on and to score, and not looked at to predict.

        Raises:
            DataError: the file cannot be used.
            ConfigError: columns are not named.
        """
        is_training = purpose == "train"
        examples = choice_examples.read(
            path,
            self.data,
            self.dataset,
            with_labels=purpose != "predict",
            limit=self.data.max_train_examples if is_training else self.data.max_eval_examples,
        )
        rows = storage.features_of(
            path,
            lambda: self._features(examples, with_labels=is_training),
            self.data,
            self.tokenizer,
            is_training=is_training,
            version=text_features.VERSION,
            kind=self.config.task,
            reading={name: getattr(self.data, name) for name in _READING},
            examples=len(examples),
            max_length=self.data.max_length,
        )
        logger.info("%s: %d examples of %d choices", path, len(examples), len(examples[0].choices))
        return Prepared(examples, rows)

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> list[ChoicePrediction]:
        """The choice taken for each example, from `logits` float32 [examples, C]."""
        return decoding.decode_choices([example.id for example in prepared.examples], outputs["logits"])

    def score(self, prepared: Prepared, predictions: Sequence[ChoicePrediction]) -> dict[str, float]:
        """The accuracy in percent."""
        gold, predicted = [e.label for e in prepared.examples], [p.choice for p in predictions]
        scores = metrics.evaluate(gold, predicted, labels=len(prepared.examples[0].choices))  # type: ignore[arg-type]
        return {"accuracy": scores["accuracy"]}

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[ChoicePrediction]) -> list[Path]:
        """predictions.tsv and predictions.jsonl."""
        pairs = list(zip(prepared.examples, predictions, strict=True))
        return label_files.write_predictions(directory, _COLUMNS, self._rows(pairs), self._lines(pairs))

    def findings(self, prepared: Prepared, predictions: Sequence[ChoicePrediction]) -> Sequence[Finding]:
        """Calibration, the place of the right choice, mistakes with all their choices."""
        return choice_findings.findings(prepared.examples, predictions)

    def _features(self, examples: Sequence[ChoiceExample], *, with_labels: bool) -> Features:
        count = len(examples[0].choices)
        labels = {LABELS: np.repeat(np.array([e.label for e in examples], np.int32), count)} if with_labels else None
        return text_features.featurize(
            [example.context for example in examples for _ in range(count)],
            [choice for example in examples for choice in example.choices],
            self.tokenizer,
            max_length=self.data.max_length,
            labels=labels,
            group=count,
            workers=self.data.workers,
        )

    def _name(self, number: int | None) -> str | None:
        """A choice as the file's labels say it."""
        if number is None:
            return None
        return self.data.labels[number] if self.data.labels else str(number)

    def _rows(self, pairs: Sequence[tuple[ChoiceExample, ChoicePrediction]]) -> Iterator[Sequence[object]]:
        for example, prediction in pairs:
            chosen = prediction.choice
            probability = f"{prediction.probabilities[chosen]:.4f}"
            yield (example.id, self._name(chosen), probability, self._name(example.label), example.context,
                   example.choices[chosen])  # fmt: skip

    def _lines(self, pairs: Sequence[tuple[ChoiceExample, ChoicePrediction]]) -> Iterator[dict[str, Any]]:
        for example, prediction in pairs:
            line: dict[str, Any] = {"id": example.id, "prediction": self._name(prediction.choice)}
            if example.label is not None:
                line["label"] = self._name(example.label)
            yield {**line, "probabilities": [label_files.rounded(p) for p in prediction.probabilities]}
