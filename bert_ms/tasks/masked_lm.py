"""Masked words: raw text in, how well hidden words are found out."""

from __future__ import annotations

from collections.abc import Mapping

from bert_ms.tasks.raw_text import RawTextWork, perplexity


class MaskedLMWork(RawTextWork):
    """The work of masked language modelling: rows of packed full sentences."""

    def scores_of(self, sums: Mapping[str, float], rows: int) -> dict[str, float]:
        """`loss` is the mean over all hidden pieces, of which `total` are there."""
        del rows
        count = max(sums["masked_count"], 1.0)
        loss = sums["masked_loss_sum"] / count
        accuracy = 100 * sums["masked_correct"] / count
        return {
            "loss": loss,
            "perplexity": perplexity(loss),
            "masked_lm_accuracy": accuracy,
            "total": sums["masked_count"],
        }
