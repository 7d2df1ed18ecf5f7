"""Texts that go on from a beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert_ms.decoding.generation import GenerationConfig, generate
from bert_ms.errors import DataError, TokenizerError
from bert_ms.pipelines.text.base import TextPipeline


class TextGeneration(TextPipeline):
    """A causal language model that continues texts word piece by word piece, each at the cost of one position.

    Args:
        backend: `model.heads.causal_cache.CausalSteps` of the network.
        args: tokenizer and configuration.
        kwargs: of every pipeline; `max_length` bounds a prompt with what follows it.
    """

    def answer(
        self, inputs: Sequence[Any], *, max_new_tokens: int = 20, return_full_text: bool = True, **options: Any
    ) -> list[Any]:
        """Continuations of texts; generation ends at [SEP].

        Args:
            inputs: beginnings; an empty one is continued from [CLS] alone.
            max_new_tokens: most word pieces that follow.
            return_full_text: give the beginning as well, as it was given.
            options: do_sample, temperature, top_k, top_p, seed, repetition_penalty, num_beams, length_penalty,
                early_stopping, num_return_sequences; see `GenerationConfig`.

        Returns:
            For each text a list of {"generated_text": text, "score": sum of log-probabilities}; a single one unless
            num_return_sequences asks for more.

        Raises:
            ConfigError: an option that cannot be used.
            TokenizerError: a beginning leaves no room for what should follow, unless long_inputs="truncate" (its own
                beginning is then left out) or "windows" (the same).
        """
        end = self.tokenizer.sep_token_id
        config = GenerationConfig(
            max_new_tokens=max_new_tokens, eos_token_id=end, pad_token_id=self.tokenizer.pad_token_id, **options
        )
        prompts = [self._prompt(text, index, max_new_tokens) for index, text in enumerate(inputs)]
        answers: list[list[Any]] = [[] for _ in inputs]
        for numbers in _of_similar_length(prompts, self.batch_size):
            size = 1 << (len(numbers) - 1).bit_length()  # few batch sizes, hence few graphs
            filled = [prompts[i] for i in (*numbers, *numbers[-1:] * (size - len(numbers)))]
            ids, mask = _padded_left(filled, self.tokenizer.pad_token_id)
            found = generate(self.backend, ids, mask, config=config, longest=self.config.max_sequence_length)  # type: ignore[arg-type]
            for row, (tokens, score) in enumerate(zip(found.rows(), found.scores.tolist(), strict=True)):
                if row >= len(numbers) * config.num_return_sequences:
                    break
                number = numbers[row // config.num_return_sequences]
                text = self._text(inputs[number] if return_full_text else "", tokens, end)
                answers[number].append({"generated_text": text, "score": score})
        return answers

    def _prompt(self, text: Any, index: int, room: int) -> list[int]:
        if not isinstance(text, str):
            raise DataError(f"input {index} is {type(text).__name__}: expected a text to continue.")
        ids = self.tokenizer.encode(text).input_ids[:-1]  # without the [SEP] that would end it
        most = self.max_length - room
        if most < 1 or (len(ids) > most and self.long_inputs == "error"):
            raise TokenizerError(
                f"input {index} has {len(ids)} tokens, which with max_new_tokens {room} are more than max_length "
                f"{self.max_length}: shorten it, or lower max_new_tokens."
            )
        return ids if len(ids) <= most else ids[:1] + ids[len(ids) - most + 1 :]

    def _text(self, begin: str, tokens: Sequence[int], end: int) -> str:
        new = self.tokenizer.decode([token for token in tokens if token != end])
        joins = not begin or begin[-1].isspace() or self.tokenizer.vocabulary[tokens[0]].startswith("##")
        return begin + ("" if joins or not new else " ") + new.removeprefix("##")


def _of_similar_length(prompts: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    return [order[begin : begin + size] for begin in range(0, len(order), size)]


def _padded_left(prompts: Sequence[Sequence[int]], filling: int) -> tuple[np.ndarray, np.ndarray]:
    width = max(map(len, prompts))
    ids = np.full((len(prompts), width), filling, np.int32)
    mask = np.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :], mask[row, width - len(prompt) :] = prompt, 1
    return ids, mask
