"""The span head: where does the answer start, where does it end."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.parts import dense_on


class QuestionAnswering(nn.Cell):
    """A Dense layer with two outputs for each token: the logit of a start, and of an end, of the answer.

    Args:
        bert: the encoder; its pooler, if it has one, is not used.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> start_logits, end_logits float32 [B, S].
    Source: Devlin et al. 2019, section 4.2.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.qa_outputs = dense_on(bert, 2)
        self.unstack = ops.Unstack(axis=-1)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        hidden_BSH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[0]
        logits_BS2 = ops.cast(self.qa_outputs(hidden_BSH), ms.float32)
        return self.unstack(logits_BS2)
