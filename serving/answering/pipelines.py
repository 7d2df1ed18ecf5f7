"""The text pipelines with their rows in a queue, one object for each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.data import question_features
from bert_ms.decoding import question_answering as decoding
from bert_ms.decoding.labels import sigmoid, softmax
from bert_ms.errors import ConfigError
from bert_ms.pipelines.text.base import TextPipeline
from bert_ms.pipelines.text.classification import TextClassification
from bert_ms.pipelines.text.fill_mask import FillMask
from bert_ms.pipelines.text.rows import features_of
from bert_ms.pipelines.text.token_classification import TokenClassification
from bert_ms.records import Encoding, Features, QuestionExample, QuestionPrediction
from bert_ms.tokenization import Tokenizer

from .backend import QueueBackend

ACTIVATIONS = ("softmax", "sigmoid", "none")
# Different answers that are told apart before the best are given.
CANDIDATES = 20


class Queued(TextPipeline):
    """A pipeline that remembers which row belongs to which input, and gives all of them to the queue at once.

    Args:
        backend: of this request.
        tokenizer: of the network.
        config: of the network.
        options: of the pipeline.
    """

    def __init__(self, backend: QueueBackend, tokenizer: Tokenizer, config: BertConfig, **options: Any):
        super().__init__(backend, tokenizer, config, **options)
        self.queue = backend
        self.owners = np.zeros(0, np.int64)  # of the rows that are made
        self.lengths = np.zeros(0, np.int64)
        self._owner_of: dict[int, int] = {}

    def rows(
        self, texts: Sequence[str], pairs: Sequence[str | None] | None = None
    ) -> tuple[list[Encoding], np.ndarray]:
        """See `TextPipeline`."""
        rows, owner = super().rows(texts, pairs)
        self.remember(rows, owner)
        return rows, owner

    def remember(self, rows: Sequence[Encoding], owners: np.ndarray) -> None:
        """Which input each row belongs to."""
        self.owners, self.lengths = owners, np.array([len(row) for row in rows], np.int64)
        self._owner_of = {id(row): owner for row, owner in zip(rows, owners.tolist(), strict=True)}

    def run(self, rows: Sequence[Encoding] | Features, *, extra: Sequence[np.ndarray] = ()) -> dict[str, np.ndarray]:
        """See `TextPipeline`."""
        positions = extra[0] if extra else None
        if isinstance(rows, Features):
            return self.queue.run_features(rows, self.owners, positions=positions)
        owners = np.array([self._owner_of[id(row)] for row in rows], np.int64)  # some may be left out, or stand twice
        features = features_of(rows, pad_token_id=self.tokenizer.pad_token_id)
        return self.queue.run_features(features, owners, positions=positions)

    def usage(self, count: int) -> list[dict[str, Any]]:
        """Tokens and windows of each input."""
        tokens = np.bincount(self.owners, weights=self.lengths, minlength=count)
        windows = np.bincount(self.owners, minlength=count)
        return [
            {"tokens": int(token), "windows": int(window), "truncated": False}
            for token, window in zip(tokens, windows, strict=True)
        ]


class QueuedQuestions(Queued):
    """Questions on passages."""

    def answer(
        self,
        inputs: Sequence[Any],
        *,
        top_k: int,
        max_answer_len: int,
        handle_impossible: bool,
        null_threshold: float,
    ) -> list[QuestionPrediction]:
        """What the network says, with all its candidates.

        Raises:
            DataError: a question that leaves no room for its passage.
        """
        examples = [QuestionExample(str(i), item["question"], item["context"]) for i, item in enumerate(inputs)]
        features = question_features.featurize(
            examples, self.tokenizer, max_length=self.max_length, stride=self.stride, max_query_length=None, workers=1
        )
        assert features.example_index is not None, "questions are featurised with their examples"
        self.owners, self.lengths = features.example_index.astype(np.int64), features.lengths()
        outputs = self.run(features)
        return decoding.decode(
            examples,
            features,
            outputs["start_logits"],
            outputs["end_logits"],
            n_best=max(top_k, CANDIDATES),
            max_answer_length=max_answer_len,
            with_negatives=handle_impossible,
            null_threshold=null_threshold,
        )


class QueuedLabels(Queued, TextClassification):
    """Labels of texts.

    Args:
        activation: softmax, sigmoid or none; None takes what the network was trained for.
        kwargs: of every pipeline.
    """

    def __init__(self, *args: Any, activation: str | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if activation is not None and activation not in ACTIVATIONS:
            raise ConfigError(f"activation is {activation!r}: expected one of {', '.join(ACTIVATIONS)}.")
        self.activation = activation

    def probabilities(self, logits_RL: np.ndarray) -> np.ndarray:
        """See `TextClassification`."""
        if self.activation is None:
            return super().probabilities(logits_RL)
        if self.activation == "none":
            return logits_RL
        return softmax(logits_RL) if self.activation == "softmax" else sigmoid(logits_RL)


class QueuedTags(Queued, TokenClassification):
    """Entities in texts."""


class QueuedGaps(Queued, FillMask):
    """Words for gaps."""
