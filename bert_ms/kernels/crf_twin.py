"""The CRF's loss in plain MindSpore, without a step for each token."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms.tags.viterbi import NO_TAG


class CrfLoss(nn.Cell):
    """Negative log-likelihood of labelled paths through states whose last two are START and STOP.

    Args:
        states: their number C.

    Source: Lafferty, McCallum and Pereira 2001; Lample et al. 2016, section 2.2.
    """

    def __init__(self, states: int):
        super().__init__(auto_prefix=False)
        self.states, self.start, self.stop = states, states - 2, states - 1
        self.identity = Tensor(np.eye(states, dtype=np.float32))
        self.product = ops.BatchMatMul()

    def construct(self, logits_BSC: Tensor, transitions_CC: Tensor, labels_BS: Tensor) -> Tensor:
        """Args: logits; transitions [to, from]; labels, NO_TAG where no path is. Returns: [B], 0 without a path."""
        is_counted_BS = labels_BS != NO_TAG
        sum_B = self.log_sum(logits_BSC, transitions_CC, is_counted_BS)
        score_B = self.score(logits_BSC, transitions_CC, labels_BS, is_counted_BS)
        return (sum_B - score_B) * ops.cast(is_counted_BS.any(1), ms.float32)

    def score(
        self, logits_BSC: Tensor, transitions_CC: Tensor, labels_BS: Tensor, is_counted_BS: Tensor
    ) -> Tensor:
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
        steps_BS = self.steps(transitions_CC, labels_BS, from_BS)
        score_B = ops.reduce_sum((emitted_BS + steps_BS) * counted_BS, 1)
        return score_B + self.steps(transitions_CC, last_B * 0 + self.stop, last_B)

    def labels_at(self, labels_BS: Tensor, places_BS: Tensor) -> Tensor:
        """Labels at places of the row; START at -1."""
        found_BS = ops.gather_elements(labels_BS, 1, ops.maximum(places_BS, places_BS * 0))
        return ops.select(places_BS >= 0, found_BS, found_BS * 0 + self.start)

    def steps(self, transitions_CC: Tensor, to: Tensor, origin: Tensor) -> Tensor:
        return ops.gather(ops.reshape(transitions_CC, (-1,)), to * self.states + origin, 0)

    def log_sum(self, logits_BSC: Tensor, transitions_CC: Tensor, is_counted_BS: Tensor) -> Tensor:
        """Logarithm of the sum over all paths of exp(score), [B].

        Each position is a matrix [from, to] of exp(logit + step); their product is the sum. Neighbours are multiplied
        in pairs, so that S positions take log2(S) batched products instead of S steps one after the other. A matrix
        is kept with rows that sum to about 1, beside the logarithms of their true sums.
        """
        B, S, C = logits_BSC.shape
        keep_BS11 = ops.reshape(ops.cast(is_counted_BS, ms.float32), (B, S, 1, 1))
        scores_BSCC = ops.expand_dims(logits_BSC, 2) + ops.transpose(transitions_CC, (1, 0))
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
        ended_BC = part_BSCC[:, 0, self.start] * ops.exp(transitions_CC[self.stop])
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
