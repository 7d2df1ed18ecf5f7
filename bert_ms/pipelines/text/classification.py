"""Labels of texts and pairs; the end that fits; whether one text follows another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.decoding.labels import sigmoid, softmax
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.text.base import TextPipeline, fields_of, text_and_pair


class TextClassification(TextPipeline):
    """Labels with their probabilities.

    A text that takes several windows gets the mean of their probabilities. A network of one output is a regression,
    whose number is the score; one for several labels at once gives each label a probability of its own.
    """

    def answer(self, inputs: Sequence[Any], *, top_k: int | None = 1, threshold: float = 0.5) -> list[Any]:
        """Answers to texts or pairs (see `text_and_pair`).

        Args:
            inputs: texts or pairs.
            top_k: so many labels, best first; 1 gives a dictionary instead of a list of them; None gives all.
            threshold: of a network for several labels at once: `top_k=1` gives the list of all labels with at least
                this probability.

        Returns:
            One {"label": name, "score": probability} each, or a list of them.
        """
        if top_k is not None and top_k < 1:
            raise ConfigError(f"top_k is {top_k}: expected at least 1, or None for all labels.")
        scores = self.scores(inputs)
        is_multiple = self.config.problem_type == "multi_label_classification"
        names = label_names(self.config.labels, scores.shape[1])
        answers: list[Any] = []
        for row in scores:
            ranked = [{"label": names[i], "score": float(row[i])} for i in np.argsort(-row, kind="stable")]
            if top_k == 1 and is_multiple:
                answers.append([one for one in ranked if one["score"] >= threshold])
            else:
                answers.append(ranked[0] if top_k == 1 else ranked[:top_k])
        return answers

    def scores(self, inputs: Sequence[Any]) -> np.ndarray:
        """Probabilities [inputs, L], or the numbers [inputs, 1] of a regression."""
        texts, pairs = zip(*(text_and_pair(item, i) for i, item in enumerate(inputs)), strict=True)
        rows, owner = self.rows(texts, pairs)
        values = self.probabilities(self.run(rows)["logits"])
        return mean_by(values, owner, len(inputs))

    def probabilities(self, logits_RL: np.ndarray) -> np.ndarray:
        """What logits [R, L] mean in this network."""
        kind = self.config.problem_type
        if kind == "regression" or (kind is None and logits_RL.shape[1] == 1):
            return logits_RL
        return sigmoid(logits_RL) if kind == "multi_label_classification" else softmax(logits_RL)


class NextSentence(TextPipeline):
    """Whether the second text of a pair follows the first."""

    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        """Answers to pairs: {"is_next": bool, "score": probability that it follows}."""
        texts, pairs = zip(*(text_and_pair(item, i) for i, item in enumerate(inputs)), strict=True)
        for index, pair in enumerate(pairs):
            if pair is None:
                raise DataError(f"input {index} is one text: expected two, the second of which may follow the first.")
        rows, owner = self.rows(texts, pairs)
        scores = mean_by(softmax(self.run(rows)["logits"]), owner, len(inputs))[:, 0]
        return [{"is_next": bool(score >= 0.5), "score": float(score)} for score in scores]


class MultipleChoice(TextPipeline):
    """The choice that fits a context best."""

    def answer(self, inputs: Sequence[Any]) -> list[Any]:
        """Answers to {"context": text, "choices": [text, ...]}: {"choice": number, "text", "score", "scores"}."""
        texts: list[str] = []
        pairs: list[str] = []
        counts = []
        for index, item in enumerate(inputs):
            context, choices = fields_of(item, index, "context", "choices")
            if not isinstance(context, str) or not isinstance(choices, (list, tuple)) or len(choices) < 2:
                raise DataError(f"input {index}: expected a context and a list of at least 2 choices.")
            texts += [context] * len(choices)
            pairs += choices
            counts.append(len(choices))
        rows, owner = self.rows(texts, pairs)
        logits = mean_by(self.run(rows)["logits"], owner, len(texts))[:, 0]
        answers, begin = [], 0
        for item, count in zip(inputs, counts, strict=True):
            shares = softmax(logits[None, begin : begin + count])[0]
            best = int(shares.argmax())
            begin += count
            answers.append(
                {
                    "choice": best,
                    "text": item["choices"][best],
                    "score": float(shares[best]),
                    "scores": [float(share) for share in shares],
                }
            )
        return answers


class ChoiceRows:
    """A multiple-choice network as a backend of plain rows: each is a choice among one."""

    outputs = ("logits",)
    row_outputs = ("logits",)

    def __init__(self, backend: Any):
        self.backend, self.takes_any_shape = backend, backend.takes_any_shape

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Logits [B, 1] of rows [B, S]."""
        (logits,) = self.backend.run([array[:, None] for array in arrays])
        return (logits,)


def label_names(labels: Sequence[str], count: int) -> list[str]:
    """The labels' names; LABEL_0, LABEL_1, ... where there are none, as Hugging Face calls them."""
    return list(labels) if labels else [f"LABEL_{i}" for i in range(count)]


def mean_by(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """The mean of the rows [R, L] of each owner: [count, L]."""
    sums = np.zeros((count, values.shape[1]), np.float64)
    np.add.at(sums, owner, values)
    return (sums / np.bincount(owner, minlength=count)[:, None]).astype(np.float32)
