"""The words that fit a gap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.decoding.labels import softmax
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.text.base import TextPipeline
from bert_ms.records import Encoding

# Rows of word logits are V numbers wide each: gaps are read so many at a time.
MOST_GAPS = 8


class FillMask(TextPipeline):
    """Words for each [MASK] of a text; only the gaps are decoded, not every position."""

    def answer(self, inputs: Sequence[Any], *, top_k: int = 5, targets: Sequence[str] | None = None) -> list[Any]:
        """Answers to texts with one [MASK] or several.

        Args:
            inputs: texts.
            top_k: so many words for each gap, best first.
            targets: rank these words only; each has to be one piece of the vocabulary.

        Returns:
            For a text with one gap a list of {"score": probability, "token": id, "token_str": word piece,
            "sequence": the text with it}; for one with several a list of such lists, other gaps left as they are.

        Raises:
            DataError: a text without [MASK], or one whose gap lies beyond what the network can read.
            ConfigError: a target that is no piece of the vocabulary, or top_k below 1.
        """
        if top_k < 1:
            raise ConfigError(f"top_k is {top_k}: expected at least 1.")
        chosen = None if targets is None else np.array([self._target(word) for word in dict.fromkeys(targets)])
        rows, gaps = self._rows_with_gaps(inputs)
        answers: list[list[Any]] = [[] for _ in inputs]
        for (owner, row, position), logits in zip(gaps, self._logits(rows, gaps), strict=True):
            shares = softmax(logits)
            candidates = np.arange(len(shares)) if chosen is None else chosen
            best = candidates[np.argsort(-shares[candidates], kind="stable")][:top_k]
            answers[owner].append([self._filled(rows[row], position, int(token), shares) for token in best])
        return [found[0] if len(found) == 1 else found for found in answers]

    def _target(self, word: str) -> int:
        token = self.tokenizer.token_to_id(word)
        if token is None:
            pieces = self.tokenizer.tokens(self.tokenizer.encode(word).input_ids[1:-1])
            if len(pieces) == 1 and pieces[0] != self.tokenizer.options.unk_token:
                return self.tokenizer.encode(word).input_ids[1]
            raise ConfigError(
                f"target {word!r} is no piece of the vocabulary (its pieces are {', '.join(pieces) or 'none'}): a gap "
                f"is one piece wide, choose another word."
            )
        return token

    def _rows_with_gaps(self, texts: Sequence[Any]) -> tuple[list[Encoding], list[tuple[int, int, int]]]:
        """The windows in which each gap stands most in the middle; gaps as (text, row, position in the row)."""
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"input {index} is {type(text).__name__}: expected a text with [MASK].")
        rows, owner = self.rows(texts)
        mask = self.tokenizer.mask_token_id
        best: dict[tuple[int, tuple[int, int]], tuple[int, int, int]] = {}
        for number, row in enumerate(rows):
            for position, token in enumerate(row.input_ids):
                if token == mask:
                    key = (int(owner[number]), row.offsets[position])
                    margin = min(position, len(row) - 1 - position)
                    if key not in best or margin > best[key][0]:
                        best[key] = (margin, number, position)
        with_gap = {text for text, _ in best}
        for index, text in enumerate(texts):
            if index not in with_gap:
                cut = " within max_length" if self.tokenizer.options.mask_token in text else ""
                raise DataError(
                    f"input {index} has no {self.tokenizer.options.mask_token}{cut}: {text[:60]!r}. Put it where a "
                    f"word is missing."
                )
        gaps = [(text, number, position) for (text, _), (_, number, position) in sorted(best.items())]
        return rows, gaps

    def _logits(self, rows: Sequence[Encoding], gaps: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """Word logits [gaps, V]; a row with several gaps is read once for each group of them."""
        of_row: dict[int, list[int]] = {}
        for number, (_, row, _) in enumerate(gaps):
            of_row.setdefault(row, []).append(number)
        jobs = [part for numbers in of_row.values() for part in _split(numbers, MOST_GAPS)]
        width = 1 << (max(map(len, jobs)) - 1).bit_length()
        positions = np.zeros((len(jobs), width), np.int32)
        for job, numbers in enumerate(jobs):
            positions[job, : len(numbers)] = [gaps[number][2] for number in numbers]
        logits_RPV = self.run([rows[gaps[numbers[0]][1]] for numbers in jobs], extra=(positions,))["logits"]
        found = np.empty((len(gaps), logits_RPV.shape[-1]), np.float32)
        for job, numbers in enumerate(jobs):
            found[numbers] = logits_RPV[job, : len(numbers)]
        return found

    def _filled(self, row: Encoding, position: int, token: int, shares: np.ndarray) -> dict[str, Any]:
        ids = [token if i == position else value for i, value in enumerate(row.input_ids)][1:-1]
        mask = self.tokenizer.mask_token_id
        special = {self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.tokenizer.pad_token_id} - {mask}
        return {
            "score": float(shares[token]),
            "token": token,
            "token_str": self.tokenizer.vocabulary[token],
            "sequence": self.tokenizer.decode([i for i in ids if i not in special]),
        }


def _split(items: list[int], size: int) -> list[list[int]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]
