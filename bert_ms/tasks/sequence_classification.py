"""Labels of texts and of pairs of texts: one, any number of them, or a number."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data import datasets, storage, text_examples, text_features
from bert_ms.data.text_examples import MULTIPLE, REGRESSION, SINGLE
from bert_ms.decoding import labels as decoding
from bert_ms.errors import ConfigError
from bert_ms.metrics import classification as metrics
from bert_ms.records import LABELS, Features, LabelPrediction, TextExample
from bert_ms.tasks import label_names, text_predictions
from bert_ms.tasks.findings import Finding
from bert_ms.tasks.findings import texts as text_findings
from bert_ms.tasks.submissions import submission
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

PURPOSE, SOURCE = "purpose", "source"
# Scores by kind of labels; the first decides, where the data set says none. One of two labels has f1 as well.
_METRICS = {
    SINGLE: ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "matthews"),
    MULTIPLE: ("micro_f1", "macro_f1", "weighted_f1", "accuracy"),
    REGRESSION: ("pearson", "spearman", "mse"),
}
# What of the configuration decides which examples are read.
_READING = ("dataset", "format", "text_column", "pair_column", "label_column", "id_column", "has_header",
            "label_separator", "on_bad_answer")  # fmt: skip


class SequenceClassificationWork(Work):
    """The work of sequence classification.

    Attributes:
        problem_type: what the labels are; known when training data is prepared, or from the network.
        labels: in the order of the network's outputs; empty for a regression.
    """

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, known: BertConfig | None = None):
        super().__init__(config, tokenizer, known)
        self.data = config.data
        self.dataset = datasets.get(config.data.dataset, task=config.task)
        # labels of another task are none of this one
        self.trained = known if known is not None and known.task in (None, config.task) else None
        self.problem_type: str | None = None
        self.labels: tuple[str, ...] = ()

    @classmethod
    def metric(cls, config: RunConfig) -> str | None:
        """The data set's own score, or the usual one of the kind of labels."""
        dataset, train_file = datasets.get(config.data.dataset, task=config.task), config.data.train_file
        if dataset is not None:
            return dataset.metrics[0]
        is_there = train_file is not None and Path(train_file).expanduser().is_file()
        return _METRICS[cls.problem_type_of(config, None, train_file if is_there else None)][0]

    @classmethod
    def problem_type_of(cls, config: RunConfig, known: BertConfig | None, train_file: str | Path | None) -> str:
        """What the labels are: as configuration, data set or network say, or as the training file shows."""
        dataset = datasets.get(config.data.dataset, task=config.task)
        if config.model.problem_type != "auto":
            return config.model.problem_type
        if dataset is not None:
            return dataset.problem_type or SINGLE
        if config.data.label_separator is not None:
            return MULTIPLE
        if train_file is not None:
            if config.data.labels:
                return SINGLE
            return text_examples.guess_problem_type(Path(train_file).expanduser(), config.data)
        if known is not None and known.problem_type is None and known.num_labels == 1:
            return REGRESSION
        return (known.problem_type if known is not None else None) or SINGLE

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read a table of texts; labels are needed to train on and to score, and not looked at to predict.

        Raises:
            DataError: the file cannot be used, has labels that training did not have, or only one.
            ConfigError: columns or labels are not named, or contradict the network.
        """
        is_training = purpose == "train"
        if is_training or self.problem_type is None:
            self._begin(path if is_training else None)
        assert self.problem_type is not None
        limit = self.data.max_train_examples if is_training else self.data.max_eval_examples
        is_searching = is_training and not self._given() and self.problem_type != REGRESSION
        examples = text_examples.read(
            path,
            self.data,
            self.dataset,
            problem_type=self.problem_type,
            with_labels=purpose != "predict",
            labels=self._given() if is_training else self.labels,
            limit=None if is_searching else limit,  # labels are those of the whole file
            is_training=is_training,
        )
        if is_training:
            self._settle(examples, path)
            self._check_metric()
        examples = examples[:limit]
        self._check_pairs(examples)
        rows = storage.features_of(
            path,
            lambda: self._features(examples, with_labels=is_training),
            self.data,
            self.tokenizer,
            is_training=is_training,
            version=text_features.VERSION,
            kind=self.config.task,
            reading={name: getattr(self.data, name) for name in _READING},
            problem_type=self.problem_type,
            labels=list(self.labels),
            examples=len(examples),
            max_length=self.data.max_length,
        )
        logger.info("%s: %d texts", path, len(examples))
        return Prepared(examples, rows, {PURPOSE: purpose, SOURCE: str(path)})

    def network_fields(self) -> Mapping[str, Any]:
        """Labels, their number and their kind.

        Raises:
            ConfigError: nothing tells the labels.
        """
        if self.problem_type == REGRESSION:
            return {"labels": (), "num_labels": 1, "problem_type": REGRESSION}
        if not self.labels:
            raise ConfigError(
                f"{self.config.model.source} has no labels of texts: train it first, or name the labels of its outputs "
                f"in their order, as data.labels=[a, b]."
            )
        return {"labels": self.labels, "num_labels": len(self.labels), "problem_type": self.problem_type}

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> list[LabelPrediction]:
        """A label, labels or a number for each text, from `logits` float32 [texts, L]."""
        ids, logits = [example.id for example in prepared.examples], outputs["logits"]
        if self.problem_type == REGRESSION:
            return decoding.decode_numbers(ids, logits)
        if self.problem_type == MULTIPLE:
            threshold = self.config.evaluation.label_threshold
            return decoding.decode_label_sets(ids, logits, self.labels, threshold=threshold)
        return decoding.decode_labels(ids, logits, self.labels)

    def score(self, prepared: Prepared, predictions: Sequence[LabelPrediction]) -> dict[str, float]:
        """The scores of the kind of labels, see `metrics.classification`; those of the data set first."""
        gold, predicted = [e.label for e in prepared.examples], [p.label for p in predictions]
        if self.problem_type == REGRESSION:
            scores = metrics.evaluate_numbers(gold, predicted)  # type: ignore[arg-type]
        elif self.problem_type == MULTIPLE:
            scores = metrics.evaluate_sets(self._encoded(gold) > 0.5, self._encoded(predicted) > 0.5)
        else:
            scores = metrics.evaluate(self._encoded(gold), self._encoded(predicted), labels=len(self.labels))
        first = self.dataset.metrics if self.dataset is not None else ()
        return {name: scores[name] for name in (*first, *scores) if name in scores}

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[LabelPrediction]) -> list[Path]:
        """predictions.tsv, predictions.jsonl and, for the test file of a known data set, its leaderboard's file."""
        is_test = prepared.facts[PURPOSE] == "predict"
        further = submission(self.dataset, prepared.facts[SOURCE], predictions) if is_test else {}
        return text_predictions.write(directory, prepared.examples, predictions, self.labels, further)

    def findings(self, prepared: Prepared, predictions: Sequence[LabelPrediction]) -> Sequence[Finding]:
        """What fits the kind of labels: confusion, scores by label, curves, calibration, the worst mistakes."""
        return text_findings.findings(prepared.examples, predictions, self.labels)

    def _begin(self, train_file: str | Path | None) -> None:
        """Kind of labels, and the labels themselves where they are known before any data is read."""
        self.problem_type = self.problem_type_of(self.config, self.trained, train_file)
        if train_file is None and self.problem_type != REGRESSION:
            usual = self.dataset.labels if self.dataset is not None else ()
            self.labels = label_names.for_trained(given=self.data.labels, usual=usual, known=self.trained)

    def _given(self) -> tuple[str, ...]:
        return self.data.labels or (self.dataset.labels if self.dataset is not None else ())

    def _settle(self, examples: Sequence[TextExample], path: str | Path) -> None:
        if self.problem_type == REGRESSION:
            return
        self.labels = label_names.for_training(
            text_examples.found_labels(examples),
            given=self.data.labels,
            usual=self.dataset.labels if self.dataset is not None else (),
            known=self.trained,
            source=path,
            least=2 if self.problem_type == SINGLE else 1,
        )

    def _check_metric(self) -> None:
        assert self.problem_type is not None
        has_f1 = self.problem_type == SINGLE and len(self.labels) == 2
        scores = (*_METRICS[self.problem_type], *(("f1",) if has_f1 else ()))
        metric = self.config.training.metric
        if metric is not None and metric not in scores:
            raise ConfigError(
                f"training.metric is {metric}, but labels are {len(self.labels) or 'numbers'} ({self.problem_type}), "
                f"whose scores are {', '.join(scores)}."
            )

    def _check_pairs(self, examples: Sequence[TextExample]) -> None:
        types = self.known.type_vocab_size if self.known is not None else 2
        if types < 2 and any(example.pair is not None for example in examples):
            raise ConfigError(
                f"{self.config.model.source} tells {types} kind of token apart (type_vocab_size), and pairs of texts "
                f"need 2: choose another model, or leave data.pair_column out."
            )

    def _features(self, examples: Sequence[TextExample], *, with_labels: bool) -> Features:
        return text_features.featurize(
            [example.text for example in examples],
            [example.pair for example in examples],
            self.tokenizer,
            max_length=self.data.max_length,
            labels={LABELS: self._encoded([e.label for e in examples])} if with_labels else None,
            workers=self.data.workers,
        )

    def _encoded(self, labels: Sequence[Any]) -> np.ndarray:
        """Labels as the loss takes them: int32 [N], or float32 [N] (regression) or [N, L] (any number of labels)."""
        if self.problem_type == REGRESSION:
            return np.array(labels, np.float32)
        number = {name: at for at, name in enumerate(self.labels)}
        if self.problem_type == SINGLE:
            return np.array([number[label] for label in labels], np.int32)
        encoded = np.zeros((len(labels), len(self.labels)), np.float32)
        for row, names in enumerate(labels):
            encoded[row, [number[name] for name in names]] = 1.0
        return encoded
