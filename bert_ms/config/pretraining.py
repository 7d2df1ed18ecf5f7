"""How raw text becomes examples (tasks pretraining, masked-lm and causal-lm)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bert_ms.config.section import Section


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig(Section):
    """Masking, and what an example is made of; the names are google-research's where it has one.

    Its `max_seq_length` is `data.max_length` here, its `random_seed` the run's `seed`, its `do_whole_word_mask` is
    `unit: word`.

    Attributes:
        text: "sentences" has one sentence a line and a blank line between documents; "paragraphs" has one document
            or paragraph a line and is cut into sentences here.
        masking: "dynamic" draws new masks each epoch and streams the text from disk; "static" draws `dupe_factor`
            copies once and keeps them, in MindRecord if they are large.
        unit: what is masked together: single word pieces, whole words, or n-grams of whole words.
        max_ngram: longest n-gram, in words.
        chinese_words: what a word is in Chinese: "characters" are words of their own, "spaces" stand between words in
            the text, or a file with one word a line, the longest of which is taken at each place.
        masked_lm_prob: part of the tokens that is masked.
        max_predictions_per_seq: masked tokens of an example, at most; None takes `max_length` * `masked_lm_prob`.
        dupe_factor: copies of the data with masks of their own (static masking).
        short_seq_prob: part of the examples that is made shorter on purpose.
    """

    text: Literal["sentences", "paragraphs"] = "sentences"
    masking: Literal["dynamic", "static"] = "dynamic"
    unit: Literal["token", "word", "ngram"] = "token"
    max_ngram: int = 3
    chinese_words: str = "characters"
    masked_lm_prob: float = 0.15
    max_predictions_per_seq: int | None = None
    dupe_factor: int = 10
    short_seq_prob: float = 0.1

    def problems(self) -> Iterator[str]:
        yield from self._in_range(0.001, 0.9, "masked_lm_prob")
        yield from self._in_range(0, 1, "short_seq_prob")
        yield from self._at_least(1, "max_predictions_per_seq", "dupe_factor", "max_ngram")

    def predictions_for(self, length: int) -> int:
        """Masked tokens of an example of at most `length` tokens, at most."""
        by_length = max(1, math.ceil(length * self.masked_lm_prob - 1e-9))
        return by_length if self.max_predictions_per_seq is None else min(by_length, self.max_predictions_per_seq)
