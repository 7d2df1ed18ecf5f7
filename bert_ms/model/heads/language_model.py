"""The heads that predict words: masked words, the next word, and masked words with the next sentence."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.model.bert import BertModel
from bert_ms.model.heads.parts import Predictions, dense_on


class MaskedLM(nn.Cell):
    """Which word stands at each position, the masked ones above all.

    Args:
        bert: the encoder; its pooler, if it has one, is not used.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, S, V].
    Source: Devlin et al. 2019, section 3.1, task 1.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.predictions = Predictions(bert)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        hidden_BSH = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)[0]
        return self.predictions(hidden_BSH, self.bert.embeddings.word_embeddings.weight)


class CausalLM(MaskedLM):
    """Which word follows each position, from what stands up to it.

    Args:
        bert: an encoder with `is_decoder`, whose attention looks at earlier positions only.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> logits float32 [B, S, V]; those at position s are
        for the word at s + 1. Source: Hugging Face `BertLMHeadModel`.
    """


class CrossCausalLM(CausalLM):
    """Which word follows each position, from what stands up to it and from another encoder's hidden states.

    Args:
        bert: a `CrossBertModel`.

    Shapes: as of `CausalLM`, with encoder_hidden_states [B, T, H], encoder_attention_mask int32 [B, T] after the three
        fixed inputs. Source: Hugging Face `BertLMHeadModel` with `add_cross_attention`.
    """

    inputs = 5

    def construct(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        outputs = self.bert(
            input_ids, attention_mask, token_type_ids, encoder_hidden_states, encoder_attention_mask, dropout_key
        )
        return self.predictions(outputs[0], self.bert.embeddings.word_embeddings.weight)


class Pretraining(nn.Cell):
    """Masked words, and whether the second text follows the first.

    Args:
        bert: an encoder with a pooler.

    Shapes: input_ids, attention_mask, token_type_ids int32 [B, S] -> prediction_logits float32 [B, S, V],
        seq_relationship_logits float32 [B, 2] (0: it follows; 1: it is any text).
    Source: Devlin et al. 2019, section 3.1.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self.predictions = Predictions(bert)
        self.seq_relationship = dense_on(bert, 2)

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        outputs = self.bert(input_ids, attention_mask, token_type_ids, dropout_key)
        logits_BSV = self.predictions(outputs[0], self.bert.embeddings.word_embeddings.weight)
        return logits_BSV, ops.cast(self.seq_relationship(outputs[1]), ms.float32)
