"""The heads that judge a whole sequence by its pooled output."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.parts import classifier_on, dense_on, dropout_before_classifier


class NextSentence(nn.Cell):
    """Whether the second text follows the first.

    Args:
        bert: an encoder with a pooler.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, 2] (0: it follows; 1: it is
        any text). Source: Devlin et al. 2019, section 3.1, task 2.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.seq_relationship = dense_on(bert, 2)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        pooled_BH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[1]
        return ops.cast(self.seq_relationship(pooled_BH), ms.float32)


class SequenceClassification(nn.Cell):
    """One number for each label of a text or a pair of texts; for a single label, the value of a regression.

    Args:
        bert: an encoder with a pooler and with `num_labels`.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, L].
    Source: Devlin et al. 2019, section 4.1.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.dropout = dropout_before_classifier(bert)
        self.classifier = classifier_on(bert)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        pooled_BH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[1]
        return ops.cast(self.classifier(self.dropout(pooled_BH, dropout_key)), ms.float32)


class MultipleChoice(nn.Cell):
    """One number for each choice, every one of which is read as a sequence of its own.

    Args:
        bert: an encoder with a pooler.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, C, S] -> logits float32 [B, C].
    Source: Devlin et al. 2019, section 4.4.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.dropout = dropout_before_classifier(bert)
        self.classifier = dense_on(bert, 1)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        B, C, S = input_ids.shape
        if attention_mask is not None:
            attention_mask = ops.reshape(attention_mask, (B * C, S))
        if token_type_ids is not None:
            token_type_ids = ops.reshape(token_type_ids, (B * C, S))
        logits_R1 = self.scores(ops.reshape(input_ids, (B * C, S)), attention_mask, token_type_ids, dropout_key)
        return ops.reshape(logits_R1, (B, C))

    def scores(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        """Logits float32 [R, 1] of choices [R, S], whatever they are choices for."""
        pooled_RH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[1]
        return ops.cast(self.classifier(self.dropout(pooled_RH, dropout_key)), ms.float32)


class ChoiceScores(nn.Cell):
    """The logits of a `MultipleChoice` network for rows that are a choice each.

    Shapes: input_ids, attention_mask, token_type_ids int32 [R, S] -> logits float32 [R, 1].
    """

    def __init__(self, network: MultipleChoice):
        super().__init__(auto_prefix=False)
        self.network, self.bert = network, network.bert

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.network.scores(input_ids, attention_mask, token_type_ids)
