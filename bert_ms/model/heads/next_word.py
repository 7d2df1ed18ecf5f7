"""Judging next-word predictions in a handful of numbers a row, so that the logits never leave the device."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError
from bert_ms.model.heads.language_model import CausalLM
from bert_ms.model.losses import IGNORED, row_losses


class NextWordScorer(nn.Cell):
    """How well each row's words are foreseen from those before them.

    Args:
        network: a `CausalLM` network, in evaluation mode.

    Raises:
        ConfigError: it is another network.
    """

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        if not isinstance(network, CausalLM):
            raise ConfigError(f"{type(network).__name__} predicts no next word: give a network of task causal-lm.")
        self.network = network

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The scores of a batch.

        Args:
            input_ids: int32 [B, S].
            attention_mask: int32 [B, S].
            token_type_ids: int32 [B, S].
            labels: int32 [B, S], the ids themselves, -100 on padding; they are shifted here.

        Returns:
            next_word_loss_sum: float32 [B], negative log-likelihoods of all words but the first.
            next_word_correct: int32 [B], how many of them get the largest logit.
            next_word_count: int32 [B], how many there are.
        """
        logits_BSV = self.network(input_ids, attention_mask, token_type_ids)
        B, S, V = logits_BSV.shape
        nothing_B1 = ops.full_like(labels[:, :1], IGNORED)
        labels_R = ops.reshape(ops.concat((labels[:, 1:], nothing_B1), 1), (-1,))
        logits_RV, is_counted_R = ops.reshape(logits_BSV, (B * S, V)), labels_R != IGNORED
        is_correct_R = ops.logical_and(is_counted_R, ops.cast(ops.argmax(logits_RV, -1), ms.int32) == labels_R)
        loss_BS = ops.reshape(row_losses(logits_RV, labels_R, is_counted_R), (B, S))
        correct_BS = ops.reshape(ops.cast(is_correct_R, ms.float32), (B, S))
        count_BS = ops.reshape(ops.cast(is_counted_R, ms.float32), (B, S))
        return loss_BS.sum(1), ops.cast(correct_BS.sum(1), ms.int32), ops.cast(count_BS.sum(1), ms.int32)
