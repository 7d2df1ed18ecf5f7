"""How raw text becomes masked examples (tasks pretraining and masked-lm)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bert_ms.config.section import Section


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig(Section):
    """Masking, and what an example is made of; the names are google-research's where it has one.

    Attributes:
        text: "sentences" has one sentence a line and a blank line between documents; "paragraphs" has one document
            or paragraph a line and is cut into sentences here.
        masking: "dynamic" draws new masks each epoch, "static" draws `dupe_factor` copies once and keeps them.
        unit: what is masked together: single word pieces, whole words, or n-grams of whole words.
        max_ngram: longest n-gram, in words.
        masked_lm_prob: part of the tokens that is masked.
        max_predictions_per_seq: masked tokens of an example, at most.
        dupe_factor: copies of the data with masks of their own (static masking).
        short_seq_prob: part of the examples that is made shorter on purpose.
    """

    text: Literal["sentences", "paragraphs"] = "sentences"
    masking: Literal["dynamic", "static"] = "dynamic"
    unit: Literal["token", "word", "ngram"] = "token"
    max_ngram: int = 3
    masked_lm_prob: float = 0.15
    max_predictions_per_seq: int = 20
    dupe_factor: int = 10
    short_seq_prob: float = 0.1

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0.001, 0.9, "masked_lm_prob")
        yield from self._in_range(0, 1, "short_seq_prob")
        yield from self._at_least(1, "max_predictions_per_seq", "dupe_factor", "max_ngram")
