"""What heads share: the dense layer and the dropout that fit an encoder, and the decoder of hidden states to words."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Zero, initializer

from bert_ms.errors import ConfigError
from bert_ms.kernels.ops import Dropout, LayerNormOp, Linear
from bert_ms.model.bert import BertModel
from bert_ms.model.layers import DTYPES, Dense, NormParameters, normal_parameter


def dense_on(bert: BertModel, out_size: int, in_size: int | None = None) -> Dense:
    """A dense layer from the encoder's hidden states, or `in_size` numbers, to `out_size`, of the encoder's dtype."""
    config = bert.config
    in_size = config.hidden_size if in_size is None else in_size
    return Dense(in_size, out_size, std=config.initializer_range, dtype=DTYPES[bert.dtype_name])


def classifier_on(bert: BertModel, in_size: int | None = None) -> Dense:
    """A dense layer from the hidden states, or `in_size` numbers, to the labels that the encoder's config counts.

    Raises:
        ConfigError: it counts none.
    """
    if bert.config.classifier_size is None:
        raise ConfigError("num_labels is not set: a classifier needs to know how many labels there are.")
    return dense_on(bert, bert.config.classifier_size, in_size)


def dropout_before_classifier(bert: BertModel) -> Dropout:
    """The dropout between encoder and classifier, numbered after the encoder's own.

    Source: Hugging Face's `classifier_dropout`, which is hidden_dropout_prob where it is not set.
    """
    config = bert.config
    p = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
    return Dropout(p, bert.next_site)


class Transform(nn.Cell):
    """LayerNorm(act(Dense(hidden))), before the decoder. Source: Devlin et al., `get_masked_lm_output`."""

    def __init__(self, bert: BertModel):
        super().__init__()
        self.dense = dense_on(bert, bert.config.hidden_size)
        self.layer_norm = NormParameters(bert.config.hidden_size)
        self.activated = Linear(bert.config.hidden_act)
        self.normalise = LayerNormOp(bert.config.layer_norm_eps)

    def construct(self, hidden_BSH: Tensor) -> Tensor:
        hidden_BSH = self.activated(hidden_BSH, *self.dense.weights())
        return self.normalise(hidden_BSH, self.layer_norm.weight, self.layer_norm.bias)


class OwnTable(nn.Cell):
    """The weight [V, H] of a decoder that is not tied to the word table."""

    def __init__(self, bert: BertModel):
        super().__init__()
        config = bert.config
        self.weight = normal_parameter(config.vocab_size, config.hidden_size, std=config.initializer_range)


class Predictions(nn.Cell):
    """Logits over the vocabulary: transform(hidden) table^T + bias.

    Args:
        bert: the encoder. With `tie_word_embeddings` its word table is the decoder's: it comes as an argument of
            `construct`, so that it stays one parameter with one name, whose gradient is the sum of both uses.

    Shapes: hidden [B, S, H], word table [V, H] -> float32 [B, S, V].
    Source: Devlin et al. 2019, section 3.1.
    """

    def __init__(self, bert: BertModel):
        super().__init__()
        self.dtype = DTYPES[bert.dtype_name]
        self.transform = Transform(bert)
        self.bias = Parameter(initializer(Zero(), [bert.config.vocab_size], ms.float32))
        self.is_tied = bert.config.tie_word_embeddings
        if not self.is_tied:
            self.decoder = OwnTable(bert)
        self.decode = Linear()

    def construct(self, hidden_BSH: Tensor, word_table_VH: Tensor) -> Tensor:
        table_VH = word_table_VH if self.is_tied else self.decoder.weight
        table_VH, bias_V = ops.cast(table_VH, self.dtype), ops.cast(self.bias, self.dtype)
        return ops.cast(self.decode(self.transform(hidden_BSH), table_VH, bias_V), ms.float32)
