"""Hidden states of texts, as they are: one vector a token, and the pooled one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.errors import ConfigError, TooLongError
from bert_ms.pipelines.text.base import TextPipeline, Truncation, text_and_pair
from bert_ms.records import Encoding

OUTPUTS = ("last_hidden_state", "pooled_output")


class FeatureExtraction(TextPipeline):
    """Vectors of tokens."""

    def answer(self, inputs: Sequence[Any], *, output: str = "last_hidden_state") -> list[Any]:
        """Vectors of texts or pairs.

        Args:
            inputs: texts or pairs; each is one row, so a text that is longer than max_length is cut or refused.
            output: "last_hidden_state" or, of a network with a pooler, "pooled_output".

        Returns:
            float32 [tokens, H] each, those of [CLS] and [SEP] among them; or [H] for the pooled output.

        Raises:
            ConfigError: the network has no such output.
            TooLongError: a text is too long, unless long_inputs="truncate".
        """
        if output not in OUTPUTS or (output == "pooled_output" and not self.config.add_pooler):
            has = OUTPUTS if self.config.add_pooler else OUTPUTS[:1]
            raise ConfigError(f"output is {output!r}: expected {' or '.join(has)}.")
        rows = self._one_row_each(inputs)
        values = self.run(rows)[output]
        if output == "pooled_output":
            return list(values)
        ends = np.cumsum([len(row) for row in rows])[:-1]
        return np.split(values, ends)

    def _one_row_each(self, inputs: Sequence[Any]) -> list[Encoding]:
        cut: Truncation = "longest_first" if self.long_inputs == "truncate" else "error"
        pairs = [text_and_pair(item, i) for i, item in enumerate(inputs)]
        try:
            return [self.tokenizer.encode(*pair, max_length=self.max_length, truncation=cut) for pair in pairs]
        except TooLongError as error:
            raise error.told("Shorten it, or choose long_inputs='truncate', which cuts its end off.") from None
