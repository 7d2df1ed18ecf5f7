"""Named entities: sentences in words in, a tag for each word and the scores of whole entities out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig, RunConfig
from bert_ms.data import datasets, storage, tagged_files, token_features
from bert_ms.decoding import tag_files
from bert_ms.decoding import tags as decoding
from bert_ms.errors import ConfigError
from bert_ms.metrics import entities as metrics
from bert_ms.records import TagsPrediction, TokenExample
from bert_ms.tags import schemes
from bert_ms.tasks import label_names
from bert_ms.tasks.findings import Finding
from bert_ms.tasks.findings import tags as tag_findings
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

JOINER, PURPOSE = "joiner", "purpose"
# As the table of tasks calls the step scores of a CRF.
TRANSITIONS = "crf.transitions"
# What of the configuration decides which sentences are read.
_READING = ("dataset", "format", "text_column", "label_column", "tagging", "labels")
_HEADS = {"softmax": (False, False), "crf": (True, False), "lstm": (False, True), "lstm_crf": (True, True)}


class TokenClassificationWork(Work):
    """The work of token classification.

    Attributes:
        labels: in the order of the network's outputs.
        is_training: training data was prepared, so that the run's head is made; otherwise that of the weights is used.
    """

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, known: BertConfig | None = None):
        super().__init__(config, tokenizer, known)
        self.data = config.data
        self.dataset = datasets.get(config.data.dataset, task=config.task)
        self.labels: tuple[str, ...] = ()
        self.is_training = False

    def prepare(self, path: str | Path, purpose: Purpose) -> Prepared:
        """Read sentences and cut them into rows; tags are needed to train on and to score.

        Raises:
            DataError: the file cannot be used, or has tags that training did not have.
            ConfigError: the format or a column cannot be used, or labels contradict the network.
        """
        trains = purpose == "train"
        data = tagged_files.read(
            path,
            self.data,
            self.dataset,
            needs_tags=purpose != "predict",
            limit=None if trains else self.data.max_eval_examples,
        )
        types = data.types()
        if trains:  # the labels are those of the whole file, however much of it is used
            self.is_training = True
            self.labels = self._of_training(types, path)
            data = dataclasses.replace(data, examples=data.examples[: self.data.max_train_examples])
        elif not self.is_training:
            self.labels = self._of_network()
        rows = storage.features_of(
            path,
            lambda: token_features.featurize(
                data.examples,
                self.tokenizer,
                max_length=self.data.max_length,
                stride=self.data.stride,
                labels=self.labels if trains else None,
                workers=self.data.workers,
            ),
            self.data,
            self.tokenizer,
            is_training=trains,
            version=token_features.VERSION,
            kind=self.config.task,
            reading={name: getattr(self.data, name) for name in _READING},
            labels=list(self.labels) if trains else None,
            examples=len(data.examples),
            max_length=self.data.max_length,
            stride=self.data.stride,
        )
        self._tell(path, data.examples, types, data.scheme)
        return Prepared(data.examples, rows, {JOINER: data.joiner, PURPOSE: purpose})

    def network_fields(self) -> Mapping[str, Any]:
        """Labels, and for training the parts of the head."""
        if not self.labels:
            return {}
        fields: dict[str, Any] = {"labels": self.labels, "num_labels": len(self.labels)}
        if self.is_training:
            fields["has_crf"], fields["has_lstm"] = _HEADS[self.config.model.token_head]
        return fields

    def decode(self, prepared: Prepared, outputs: Mapping[str, np.ndarray]) -> list[TagsPrediction]:
        """A tag for each word, from `logits` float32 [T, L]; with the steps of a CRF by the best path."""
        transitions = outputs.get(TRANSITIONS)
        return decoding.decode(
            prepared.examples, prepared.features, outputs["logits"], self.labels, transitions=transitions
        )

    def score(self, prepared: Prepared, predictions: Sequence[TagsPrediction]) -> dict[str, float]:
        """Scores of entities, see `metrics.entities`."""
        return metrics.evaluate(*_both(prepared, predictions))

    def write(self, directory: Path, prepared: Prepared, predictions: Sequence[TagsPrediction]) -> list[Path]:
        """predictions.conll, predictions.jsonl, entities.json where gold tags are known, and a leaderboard's file."""
        is_known = all(example.tags is not None for example in prepared.examples)
        return tag_files.write_predictions(
            directory,
            prepared.examples,
            predictions,
            joiner=str(prepared.facts[JOINER]),
            scores=metrics.report(*_both(prepared, predictions)) if is_known else None,
            further=self._submission(prepared, predictions),
        )

    def _submission(self, prepared: Prepared, predictions: Sequence[TagsPrediction]) -> dict[str, str]:
        if self.dataset is None or self.dataset.submission is None or prepared.facts[PURPOSE] != "predict":
            return {}
        return {self.dataset.submission.file: tag_files.span_lines(prepared.examples, predictions)}

    @classmethod
    def reads_windows(cls) -> bool:
        """Long sentences are."""
        return True

    def findings(self, prepared: Prepared, predictions: Sequence[TagsPrediction]) -> Sequence[Finding]:
        """Scores by type and length, what is taken for what, borders, sentences with mistakes."""
        return tag_findings.findings(prepared.examples, predictions, joiner=str(prepared.facts[JOINER]))

    def _of_training(self, types: Sequence[str], path: str | Path) -> tuple[str, ...]:
        labels = label_names.for_training(
            schemes.label_set(types), given=self.data.labels, usual=(), known=self.known, source=path, least=2
        )
        self._check(labels)
        return labels

    def _of_network(self) -> tuple[str, ...]:
        labels = label_names.for_trained(given=self.data.labels, usual=(), known=self.known)
        if not labels and self.known is not None:
            raise ConfigError(
                f"{self.config.model.source} has no labels of words: train it first, or name the labels of its outputs "
                f"in their order (data.labels=[O, B-PER, I-PER])."
            )
        self._check(labels)
        return labels

    def _check(self, labels: Sequence[str]) -> None:
        strange = [label for label in labels if not schemes.is_tag(label)]
        if strange:
            raise ConfigError(
                f"the labels {', '.join(map(repr, strange[:5]))} are no tags: expected O, and B- or I- with a type. "
                f"Name the network's labels in their order (data.labels=[O, B-PER, I-PER])."
            )

    def _tell(
        self, path: str | Path, examples: Sequence[TokenExample], types: Sequence[str], scheme: str | None
    ) -> None:
        told = f", {scheme}, types {', '.join(types)}" if scheme is not None else ""
        logger.info("%s: %d sentences, %d words%s", path, len(examples), sum(len(e.words) for e in examples), told)
        unknown = sorted(set(types) - {schemes.split(label)[1] for label in self.labels})
        if unknown and self.labels:
            logger.warning("%s: the network has no label for %s, which it will miss", path, ", ".join(unknown))


def _both(
    prepared: Prepared, predictions: Sequence[TagsPrediction]
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Gold and predicted tags."""
    return [example.tags or () for example in prepared.examples], [prediction.tags for prediction in predictions]
