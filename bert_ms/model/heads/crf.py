"""The linear-chain CRF over the labels of tokens: scores of paths, and their sum."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from bert_ms.config import CRF_STATES, BertConfig
from bert_ms.model.bert import BertModel
from bert_ms.model.heads.token_classification import TokenClassification
from bert_ms.tags.viterbi import IMPOSSIBLE, NO_TAG, viterbi


class Crf(nn.Cell):
    """Scores of the steps between states: the labels, then START and STOP, C = L + 2 in all.

    Args:
        config: with `num_labels`. All steps score 0 at first, but for those that must not be.

    Attributes:
        transitions: float32 [C, C], `transitions[to, from]`; nothing leads to START or away from STOP.

    Source: Lafferty, McCallum and Pereira 2001; Lample et al. 2016, section 2.2; layout of the model zoo's CRF.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.states = (config.num_labels or 0) + CRF_STATES
        self.start, self.stop = self.states - 2, self.states - 1
        scores = np.zeros((self.states, self.states), np.float32)
        scores[self.start, :], scores[:, self.stop] = IMPOSSIBLE, IMPOSSIBLE
        self.transitions = Parameter(Tensor(scores))
        self.identity = Tensor(np.eye(self.states, dtype=np.float32))
        self.product = ops.BatchMatMul()

    def construct(self, logits_BSC: Tensor, labels_BS: Tensor) -> Tensor:
        """Mean negative log-likelihood of the labelled paths.

        Args:
            logits_BSC: float32 [B, S, C].
            labels_BS: int32 [B, S]; the path leaves out positions of NO_TAG, and a row of nothing else does not count.

        Returns:
            float32 scalar.
        """
        is_counted_BS = labels_BS != NO_TAG
        has_path_B = ops.cast(is_counted_BS.any(1), ms.float32)
        loss_B = self.log_sum(logits_BSC, is_counted_BS) - self.score(logits_BSC, labels_BS, is_counted_BS)
        return ops.reduce_sum(loss_B * has_path_B) / ops.maximum(ops.reduce_sum(has_path_B), Tensor(1.0, ms.float32))

    def score(self, logits_BSC: Tensor, labels_BS: Tensor, is_counted_BS: Tensor) -> Tensor:
        """Score [B] of one path a row: its logits and its steps, from START to STOP."""
        S = labels_BS.shape[1]
        labels_BS = ops.select(is_counted_BS, labels_BS, labels_BS * 0)
        counted_BS = ops.cast(is_counted_BS, ms.float32)
        at_S = ops.cast(ops.arange(S), ms.int32)
        before_SS = ops.expand_dims(at_S, 0) < ops.expand_dims(at_S, 1)
        places_BS = ops.select(is_counted_BS, labels_BS * 0 + at_S, labels_BS * 0 - 1)
        places_BSS = ops.expand_dims(places_BS, 1) + ops.zeros((1, S, 1), ms.int32)
        before_BSS = ops.broadcast_to(before_SS, places_BSS.shape)
        previous_BS = ops.amax(ops.select(before_BSS, places_BSS, places_BSS * 0 - 1), -1)
        from_BS = self.labels_at(labels_BS, previous_BS)
        last_B = self.labels_at(labels_BS, ops.amax(places_BS, 1, keepdims=True))[:, 0]
        emitted_BS = ops.gather_elements(logits_BSC, 2, ops.expand_dims(labels_BS, 2))[:, :, 0]
        steps_BS = self.steps(labels_BS, from_BS)
        return ops.reduce_sum((emitted_BS + steps_BS) * counted_BS, 1) + self.steps(last_B * 0 + self.stop, last_B)

    def labels_at(self, labels_BS: Tensor, places_BS: Tensor) -> Tensor:
        """Labels at places of the row; START at -1."""
        found_BS = ops.gather_elements(labels_BS, 1, ops.maximum(places_BS, places_BS * 0))
        return ops.select(places_BS >= 0, found_BS, found_BS * 0 + self.start)

    def steps(self, to: Tensor, origin: Tensor) -> Tensor:
        return ops.gather(ops.reshape(self.transitions, (-1,)), to * self.states + origin, 0)

    def log_sum(self, logits_BSC: Tensor, is_counted_BS: Tensor) -> Tensor:
        """Logarithm of the sum over all paths of exp(score), [B].

        Each position is a matrix [from, to] of exp(logit + step); their product is the sum. Neighbours are multiplied
        in pairs, so that S positions take log2(S) batched products instead of S steps one after the other. A matrix
        is kept with rows that sum to about 1, beside the logarithms of their true sums.
        """
        B, S, C = logits_BSC.shape
        keep_BS11 = ops.reshape(ops.cast(is_counted_BS, ms.float32), (B, S, 1, 1))
        scores_BSCC = ops.expand_dims(logits_BSC, 2) + ops.transpose(self.transitions, (1, 0))
        log_BSC1 = ops.stop_gradient(scores_BSCC.max(-1, keepdims=True))
        part_BSCC = ops.exp(scores_BSCC - log_BSC1) * keep_BS11 + self.identity * (1.0 - keep_BS11)
        log_BSC1 = log_BSC1 * keep_BS11
        while S > 1:
            if S % 2:
                nothing_B1CC = ops.broadcast_to(ops.reshape(self.identity, (1, 1, C, C)), (B, 1, C, C))
                part_BSCC = ops.concat((part_BSCC, nothing_B1CC), 1)
                log_BSC1 = ops.concat((log_BSC1, ops.zeros((B, 1, C, 1), ms.float32)), 1)
                S = S + 1
            S = S // 2
            part_BSCC, log_BSC1 = self.joined(
                ops.reshape(part_BSCC, (B, S, 2, C, C)), ops.reshape(log_BSC1, (B, S, 2, C, 1))
            )
        ended_BC = part_BSCC[:, 0, self.start] * ops.exp(self.transitions[self.stop])
        total_B = ops.reduce_sum(ended_BC, 1)
        has_path_B = is_counted_BS.any(1)
        total_B = ops.select(has_path_B, total_B, ops.ones_like(total_B))
        return ops.log(total_B) + log_BSC1[:, 0, self.start, 0]

    def joined(self, parts_BS2CC: Tensor, logs_BS2C1: Tensor) -> tuple[Tensor, Tensor]:
        """Products of neighbouring matrices, their rows scaled anew."""
        log_BSC1 = logs_BS2C1[:, :, 1]
        largest_BS11 = log_BSC1.max(2, keepdims=True)
        scale_BS1C = ops.transpose(ops.exp(log_BSC1 - largest_BS11), (0, 1, 3, 2))
        product_BSCC = self.product(parts_BS2CC[:, :, 0] * scale_BS1C, parts_BS2CC[:, :, 1])
        sums_BSC1 = ops.stop_gradient(product_BSCC.sum(-1, keepdims=True))
        sums_BSC1 = ops.select(sums_BSC1 > 0, sums_BSC1, ops.ones_like(sums_BSC1))
        return product_BSCC / sums_BSC1, logs_BS2C1[:, :, 0] + largest_BS11 + ops.log(sums_BSC1)


class CrfTokenClassification(TokenClassification):
    """Labels of tokens that fit each other: logits, and a CRF that scores each step from label to label.

    Args:
        bert: an encoder with `num_labels` and `has_crf`.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, S, C], those of START and STOP
        last (C = L + 2). Source: Lample et al. 2016, section 2.2, on BERT.
    """

    def __init__(self, bert: BertModel):
        super().__init__(bert)
        self.crf = Crf(bert.config)

    def decode(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """The best labels of each row's tokens: int32 [B, S], NO_TAG on padding."""
        logits = self(input_ids, attention_mask, token_type_ids).asnumpy()
        is_token = np.ones(logits.shape[:2], bool) if attention_mask is None else attention_mask.asnumpy() != 0
        return Tensor(viterbi(logits, self.crf.transitions.asnumpy(), is_token))
