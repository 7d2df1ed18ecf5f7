"""BERT's pretraining: raw text in, hidden words and the next sentence out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bert_ms.tasks.masked_lm import MaskedLMWork


class PretrainingWork(MaskedLMWork):
    """The work of masked language modelling with next-sentence prediction: rows of two segments."""

    pairs: ClassVar[bool] = True

    def scores_of(self, sums: Mapping[str, float], rows: int) -> dict[str, float]:
        """As for masked words alone, but `loss` is theirs plus that of the next sentence, as training minimises it."""
        words = super().scores_of(sums, rows)
        next_loss = sums["next_sentence_loss"] / max(rows, 1)
        return {
            **words,
            "loss": words["loss"] + next_loss,
            "masked_lm_loss": words["loss"],
            "next_sentence_loss": next_loss,
            "next_sentence_accuracy": 100 * sums["next_sentence_correct"] / max(rows, 1),
        }
