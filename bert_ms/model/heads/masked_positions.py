"""Training and judging masked words where only the masked positions are decoded, a seventh of the vocabulary's work."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError
from bert_ms.kernels.ops import TokensAt
from bert_ms.model.heads.language_model import CausalLM, MaskedLM, Pretraining
from bert_ms.model.losses import IGNORED, masked_cross_entropy, row_losses


class _MaskedPositions(nn.Cell):
    """What the loss and the scorer share: logits of the masked positions alone.

    Args:
        network: a `MaskedLM` or `Pretraining` network.

    Attributes:
        has_next_sentence: there is a next-sentence head, whose label comes after the words'.

    Raises:
        ConfigError: the network has no decoder of masked words.
    """

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        if not isinstance(network, (MaskedLM, Pretraining)) or isinstance(network, CausalLM):
            raise ConfigError(
                f"{type(network).__name__} predicts no masked words: give a network of task masked-lm or pretraining."
            )
        self.network = network
        self.has_next_sentence = isinstance(network, Pretraining)

    def outputs(
        self, inputs: tuple[Tensor, ...], positions_BP: Tensor, labels_BP: Tensor, dropout_key: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Word logits [B * P, V] of the masked positions and, with that head, next-sentence logits [B, 2].

        Hidden states are gathered before they are transformed and decoded. Source: Devlin et al., `gather_indexes`.
        """
        encoded = self.network.bert(inputs[0], inputs[1], inputs[2], dropout_key)
        B, S, H = encoded[0].shape
        # Filling may hold any position: it is read at the first token, and its label says that it does not count.
        positions_BP = ops.select(labels_BP == IGNORED, positions_BP * 0, positions_BP)
        first_B1 = ops.reshape(ops.arange(0, B * S, S, dtype=ms.int32), (B, 1))
        hidden_RH = ops.gather(ops.reshape(encoded[0], (B * S, H)), ops.reshape(positions_BP + first_B1, (-1,)), 0)
        words_RV = self.network.predictions(hidden_RH, self.network.bert.embeddings.word_embeddings.weight)
        if not self.has_next_sentence:
            return (words_RV,)
        return words_RV, ops.cast(self.network.seq_relationship(encoded[1]), ms.float32)


class MaskedPositionsLoss(_MaskedPositions):
    """The loss of `WithLoss(network)`, from the masked positions' words instead of labels for every position.

    Mean cross entropy of the masked words, plus that of the next sentence where the network has that head. Only
    [B * P, V] logits are computed, where `WithLoss` has [B, S, V]; loss and gradients are the same.

    Args:
        network: a `MaskedLM` or `Pretraining` network.
    """

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        masked_positions: Tensor,
        labels: Tensor,
        *rest: Tensor,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            input_ids: int32 [B, S].
            attention_mask: int32 [B, S].
            token_type_ids: int32 [B, S].
            masked_positions: int32 [B, P], in [0, S) wherever the label counts.
            labels: int32 [B, P], the words that were there; -100 for filling.
            rest: next_sentence_label int32 [B], where the network has that head; then perhaps dropout_key int32 [2].

        Returns:
            float32 scalar.
        """
        extra = 1 if self.has_next_sentence else 0
        dropout_key = rest[extra] if len(rest) > extra else None
        outputs = self.outputs((input_ids, attention_mask, token_type_ids), masked_positions, labels, dropout_key)
        labels_R = ops.reshape(labels, (-1,))
        loss = masked_cross_entropy(outputs[0], labels_R, labels_R != IGNORED)
        if self.has_next_sentence:
            loss = loss + masked_cross_entropy(outputs[1], rest[0], rest[0] != IGNORED)
        return loss


class MaskedPositionsScorer(_MaskedPositions):
    """How well each row's masked words are predicted, in a handful of numbers a row.

    Evaluation sums them up on the host, which never sees [B, S, V] logits.

    Args:
        network: a `MaskedLM` or `Pretraining` network, in evaluation mode.
    """

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        masked_positions: Tensor,
        labels: Tensor,
        next_sentence_label: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """The scores of a batch, whose arguments are those of `MaskedPositionsLoss`.

        Returns:
            masked_loss_sum: float32 [B], negative log-likelihoods of the row's masked words.
            masked_correct: int32 [B], how many of them get the largest logit.
            masked_count: int32 [B], how many there are.
            next_sentence_loss: float32 [B] and
            next_sentence_correct: int32 [B], with that head only; 0 where its label is -100.
        """
        outputs = self.outputs((input_ids, attention_mask, token_type_ids), masked_positions, labels, None)
        loss_R, correct_R = self.scores(outputs[0], ops.reshape(labels, (-1,)))
        loss_BP, correct_BP = ops.reshape(loss_R, labels.shape), ops.reshape(correct_R, labels.shape)
        count_B = ops.cast(labels != IGNORED, ms.float32).sum(1)
        masked = (loss_BP.sum(1), ops.cast(correct_BP.sum(1), ms.int32), ops.cast(count_B, ms.int32))
        if not self.has_next_sentence:
            return masked
        loss_B, correct_B = self.scores(outputs[1], next_sentence_label)
        return (*masked, loss_B, ops.cast(correct_B, ms.int32))

    def scores(self, logits_RC: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood, and 1.0 if the label has the largest logit; 0 for a row that does not count."""
        is_counted_R = labels_R != IGNORED
        is_correct_R = ops.logical_and(is_counted_R, ops.cast(ops.argmax(logits_RC, -1), ms.int32) == labels_R)
        return row_losses(logits_RC, labels_R, is_counted_R), ops.cast(is_correct_R, ms.float32)


class MaskedPositionsLogits(_MaskedPositions):
    """Word logits of a few positions of each row, for answers rather than scores.

    Args:
        network: a `MaskedLM` or `Pretraining` network, in evaluation mode.
    """

    def __init__(self, network: nn.Cell):
        super().__init__(network)
        self.tokens_at = TokensAt()

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, masked_positions: Tensor
    ) -> Tensor:
        """Logits float32 [B, P, V] of positions int32 [B, P], each in [0, S)."""
        hidden_BSH = self.network.bert(input_ids, attention_mask, token_type_ids)[0]
        hidden_BPH = self.tokens_at(hidden_BSH, masked_positions)
        return self.network.predictions(hidden_BPH, self.network.bert.embeddings.word_embeddings.weight)
