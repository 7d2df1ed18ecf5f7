"""The next word: raw text in, how well each word is foreseen from those before it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bert_ms.tasks.raw_text import RawTextWork, perplexity


class CausalLMWork(RawTextWork):
    """The work of causal language modelling: rows of packed full sentences, nothing hidden."""

    masks: ClassVar[bool] = False
    summed: ClassVar[tuple[str, str]] = ("next_word_loss_sum", "next_word_count")

    def scores_of(self, sums: Mapping[str, float], rows: int) -> dict[str, float]:
        """`loss` is the mean over all word pieces but the first of each row, of which `total` are there."""
        del rows
        count = max(sums["next_word_count"], 1.0)
        loss = sums["next_word_loss_sum"] / count
        accuracy = 100 * sums["next_word_correct"] / count
        return {
            "loss": loss,
            "perplexity": perplexity(loss),
            "next_word_accuracy": accuracy,
            "total": sums["next_word_count"],
        }
