"""Labels that nobody trained for, judged by a network that knows whether one sentence follows from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.decoding.labels import softmax
from bert_ms.errors import ConfigError, DataError, unknown
from bert_ms.pipelines.text.base import TextPipeline, Truncation
from bert_ms.pipelines.text.classification import label_names
from bert_ms.records import Encoding

ENTAILS, CONTRADICTS = "entail", "contradict"


class ZeroShotClassification(TextPipeline):
    """Any labels, by a classifier trained on natural-language inference (MNLI, XNLI, RTE).

    Source: Yin et al. 2019: each label makes a hypothesis of its own, and entailment is its score.
    """

    def answer(
        self,
        inputs: Sequence[Any],
        *,
        labels: Sequence[str],
        hypothesis: str = "This text is about {}.",
        multi_label: bool = False,
    ) -> list[Any]:
        """Answers to texts.

        Args:
            inputs: texts.
            labels: to choose from; they need not be known to the network.
            hypothesis: a sentence with {} where the label goes.
            multi_label: any number of labels may hold: each is judged by entailment against contradiction alone.

        Returns:
            {"labels": best first, "scores": their probabilities} each.

        Raises:
            ConfigError: no labels, a hypothesis without {}, or a network without a label for entailment.
        """
        if isinstance(labels, str) or not labels or len(set(labels)) != len(labels):
            raise ConfigError(f"labels is {labels!r}: expected a list of different labels.")
        if hypothesis.count("{}") != 1:
            raise ConfigError(f"hypothesis is {hypothesis!r}: expected a sentence with one {{}} where the label goes.")
        for index, text in enumerate(inputs):
            if not isinstance(text, str):
                raise DataError(f"input {index} is {type(text).__name__}: expected a text.")
        entails, contradicts = self._columns()
        claims = [hypothesis.replace("{}", label) for label in labels]
        logits_RL = self._logits([(text, claim) for text in inputs for claim in claims])
        if multi_label or len(labels) == 1:
            shares = softmax(logits_RL[:, [contradicts, entails]])[:, 1].reshape(len(inputs), len(labels))
        else:
            shares = softmax(logits_RL[:, entails].reshape(len(inputs), len(labels)))
        answers = []
        for row in shares:
            order = np.argsort(-row, kind="stable")
            answers.append({"labels": [labels[i] for i in order], "scores": [float(row[i]) for i in order]})
        return answers

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        """Logits [pairs, L]. A long text is the FIRST of its pair: its windows are cut here, each with the claim."""
        rows: list[Encoding] = []
        owner: list[int] = []
        cut: Truncation = "error" if self.long_inputs == "error" else "only_first"
        for number, (text, claim) in enumerate(pairs):
            if self.long_inputs == "windows":
                windows = self.tokenizer.encode(
                    text, claim, max_length=self.max_length, stride=self.stride, truncation=cut
                )
            else:
                windows = [self.tokenizer.encode(text, claim, max_length=self.max_length, truncation=cut)]
            rows += windows
            owner += [number] * len(windows)
        logits_RL = self.run(rows)["logits"]
        # A claim that holds in one window holds: the window that entails most speaks for the text.
        entails, _ = self._columns()
        order = np.lexsort((-softmax(logits_RL)[:, entails], np.array(owner)))
        first = np.searchsorted(np.array(owner)[order], np.arange(len(pairs)))
        return logits_RL[order[first]]

    def _columns(self) -> tuple[int, int]:
        """The outputs that mean entailment and its opposite."""
        names = [name.lower() for name in label_names(self.config.labels, self.config.num_labels or 0)]
        entails = [i for i, name in enumerate(names) if name.startswith(ENTAILS)]
        if len(entails) != 1 or len(names) < 2:
            raise ConfigError(
                f"zero-shot classification needs a network trained on inference: "
                f"{unknown('label', 'entailment', names)}"
            )
        against = [i for i, name in enumerate(names) if name.startswith((CONTRADICTS, "not_entail"))]
        return entails[0], against[0] if against else 1 - min(entails[0], 1)
