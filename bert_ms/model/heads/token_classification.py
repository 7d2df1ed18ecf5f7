"""The head that labels each token, one by one."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.lstm import BiLstm
from bert_ms.model.heads.parts import classifier_on, dropout_before_classifier


class TokenClassification(nn.Cell):
    """One number for each label of each token.

    Args:
        bert: an encoder with `num_labels`; its pooler, if it has one, is not used. With `has_lstm` a BiLSTM reads the
            hidden states before they are classified.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, S, L].
    Source: Devlin et al. 2019, section 5.3; place of dropout and BiLSTM: model zoo, `BertNERModel`.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.dropout = dropout_before_classifier(bert)
        self.lstm = BiLstm(bert.config) if bert.config.has_lstm else None
        self.classifier = classifier_on(bert, 2 * bert.config.lstm_width if bert.config.has_lstm else None)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        hidden_BSH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[0]
        hidden_BSH = self.dropout(hidden_BSH, dropout_key)
        if self.lstm is not None:
            hidden_BSH = self.lstm(hidden_BSH, attention_mask)
        return ops.cast(self.classifier(hidden_BSH), ms.float32)
