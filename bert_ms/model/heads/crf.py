"""The linear-chain CRF over the labels of tokens: scores of paths, and their sum."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from bert_ms.config import CRF_STATES, BertConfig
from bert_ms.kernels.ops import CrfLoss
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
        scores = np.zeros((self.states, self.states), np.float32)
        scores[self.states - 2, :], scores[:, self.states - 1] = IMPOSSIBLE, IMPOSSIBLE
        self.transitions = Parameter(Tensor(scores))
        self.path_losses = CrfLoss(self.states)

    def construct(self, logits_BSC: Tensor, labels_BS: Tensor) -> Tensor:
        """Mean negative log-likelihood of the labelled paths.

        Args:
            logits_BSC: float32 [B, S, C].
            labels_BS: int32 [B, S]; the path leaves out positions of NO_TAG, and a row of nothing else does not count.

        Returns:
            float32 scalar.
        """
        has_path_B = ops.cast((labels_BS != NO_TAG).any(1), ms.float32)
        total = ops.reduce_sum(self.path_losses(logits_BSC, self.transitions, labels_BS))
        return total / ops.maximum(ops.reduce_sum(has_path_B), Tensor(1.0, ms.float32))


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
