"""Prompts in, continuations out: a causal language model with its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms.decoding.generation import Generated, GenerationConfig, generate, with_settings

if TYPE_CHECKING:
    from mindspore import nn


class Generator:
    """Continues prompts of token ids.

    >>> generator = Generator(cell, eos_token_id=102)                              # doctest: +SKIP
    >>> generator.generate([[101, 7592, 2088]], max_new_tokens=5).rows()           # doctest: +SKIP

    Args:
        cell: a network of task causal-lm; it is set to evaluation.
        config: how to choose tokens.
        settings: fields of `GenerationConfig` that replace the config's.

    Raises:
        ConfigError: the network is another, or a setting cannot be used.
    """

    def __init__(self, cell: nn.Cell, config: GenerationConfig | None = None, **settings: Any):
        from bert_ms.model.heads.causal_cache import CausalSteps

        self.config = with_settings(config, settings)
        self.steps = CausalSteps(cell)

    def generate(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        encoder_hidden_states: Any = None,
        encoder_attention_mask: Any = None,
        **settings: Any,
    ) -> Generated:
        """Continue prompts. Two graphs are compiled for each number of rows and power of two of lengths.

        Args:
            input_ids: int [B, S], padded on either side.
            attention_mask: int [B, S], 0 for padding; None for all tokens.
            token_type_ids: int [B, S]; new tokens get the prompt's last. None for all 0.
            encoder_hidden_states: [B, E, H], for a decoder with cross attention; None leaves that out.
            encoder_attention_mask: int [B, E]; None for all tokens.
            settings: fields of `GenerationConfig`, for this call.

        Raises:
            ConfigError: a setting cannot be used.
            DataError: a prompt is empty, the network has not enough positions, or rows are missing.
        """
        config = with_settings(self.config, settings)
        repeats = config.num_return_sequences if config.do_sample else 1
        read = (encoder_hidden_states, encoder_attention_mask)
        self.steps.attend_to(*(None if array is None else np.repeat(np.asarray(array), repeats, 0) for array in read))
        return generate(
            self.steps,
            np.asarray(input_ids),
            None if attention_mask is None else np.asarray(attention_mask),
            None if token_type_ids is None else np.asarray(token_type_ids),
            config=config,
            longest=self.steps.config.max_sequence_length,
        )
