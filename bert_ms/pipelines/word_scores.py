"""How well words are predicted, in a handful of numbers a row, from the logits of an exported language model.

The Cells of `bert_ms.model.heads.masked_positions` and `next_word` do the same where the network is a Cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.pipelines.word_logits import MOST_NUMBERS, at_positions
from bert_ms.records import IGNORE_INDEX
from bert_ms.tasks import Task
from bert_ms.training.evaluation import Run

_INPUTS = 3


class WordScores:
    """A language model's scorer, in numpy.

    Args:
        run: input_ids, attention_mask, token_type_ids [B, S] -> word logits [B, S, V], then perhaps next-sentence
            logits [B, 2].
        task: masked-lm, pretraining or causal-lm.
        vocab_size: V.
    """

    def __init__(self, run: Run, task: Task, *, vocab_size: int):
        self._run, self._is_causal, self._vocab_size = run, task.name == "causal-lm", vocab_size

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The task's outputs, float32 [B] each, of the arrays that its scorer takes."""
        rows, length = arrays[0].shape
        size = max(1, MOST_NUMBERS // (length * self._vocab_size))
        parts = [self._scores([array[at : at + size] for array in arrays]) for at in range(0, rows, size)]
        return [np.concatenate(values).astype(np.float32) for values in zip(*parts, strict=True)]

    def _scores(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        inputs, rest = arrays[:_INPUTS], arrays[_INPUTS:]
        outputs = self._run(inputs)
        if self._is_causal:
            words, labels = outputs[0][:, :-1], rest[0][:, 1:]
        else:
            positions, labels = np.where(rest[1] == IGNORE_INDEX, 0, rest[0]), rest[1]
            words = at_positions(outputs[0], positions)
        loss, is_right = judged(words, labels)
        scores = [loss.sum(1), is_right.sum(1), (labels != IGNORE_INDEX).sum(1)]
        return scores + list(judged(outputs[1], rest[2])) if len(rest) > 2 else scores


def judged(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Negative log-likelihood of labels [...] by logits [..., C], and whether they have the largest logit.

    Both are 0 where the label is -100.
    """
    is_counted = labels != IGNORE_INDEX
    chosen = np.where(is_counted, labels, 0)[..., None]
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    loss = np.log(np.exp(shifted).sum(-1)) - np.take_along_axis(shifted, chosen, -1)[..., 0]
    return loss * is_counted, (logits.argmax(-1) == chosen[..., 0]) & is_counted
