"""One vector for a text from the vectors of its tokens."""

from __future__ import annotations

from collections.abc import Sequence

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError, unknown
from bert_ms.kernels import enabled, native_encoder
from bert_ms.kernels.ops import takes_any
from bert_ms.model.bert import BertModel

POOLINGS = ("mean", "cls", "max", "pooled")
_LOWEST = -1e30  # below every hidden state: of padding, when the largest is looked for
_LEAST_NORM = 1e-12


class TokenVectors(nn.Cell):
    """The mean of some layers' hidden states, [B, S, H] float32.

    Args:
        bert: an encoder.
        layers: as in a Python list of the L + 1 hidden states, 0 being the embeddings and -1 the last layer.

    Raises:
        ConfigError: a layer that the encoder has not.
    """

    def __init__(self, bert: BertModel, layers: Sequence[int] = (-1,)):
        super().__init__(auto_prefix=False)
        count = bert.config.num_hidden_layers + 1
        wrong = [layer for layer in layers if not -count <= layer < count]
        if wrong or not layers:
            raise ConfigError(
                f"layers is {list(layers)}: expected numbers from 0 (embeddings) to {count - 1} (the last layer), "
                f"or -1 (the last) to {-count}."
            )
        self.bert = bert
        self.layers = tuple(layer % count for layer in layers)
        self.is_last = self.layers == (count - 1,)
        self.at = 2 if bert.has_pooler else 1
        if not self.is_last:
            bert.set_outputs("hidden_states")

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.mixed(self.bert(input_ids, attention_mask, token_type_ids))

    def mixed(self, outputs: tuple) -> Tensor:
        """The layers' mean from the encoder's outputs."""
        if self.is_last:
            return ops.cast(outputs[0], ms.float32)
        hidden_states = outputs[self.at]
        total_BSH = ops.cast(hidden_states[self.layers[0]], ms.float32)
        for layer in self.layers[1:]:
            total_BSH = total_BSH + ops.cast(hidden_states[layer], ms.float32)
        return total_BSH / len(self.layers)


class SentenceVectors(nn.Cell):
    """A vector [B, H] for each row.

    Args:
        bert: an encoder.
        pooling: "mean" of all tokens, [CLS] and [SEP] among them; "cls", the first token; "max" of each number over the
            tokens; "pooled", the encoder's pooled output.
        layers: whose mean is pooled, see `TokenVectors`; "pooled" has the last only.
        normalize: divide by the Euclidean norm.

    Raises:
        ConfigError: an unknown pooling, or one that the encoder has not.

    Source: Reimers and Gurevych 2019, section 3 (mean, max, CLS).
    """

    def __init__(self, bert: BertModel, pooling: str = "mean", layers: Sequence[int] = (-1,), normalize: bool = True):
        super().__init__(auto_prefix=False)
        if pooling not in POOLINGS:
            raise ConfigError(unknown("pooling", pooling, POOLINGS))
        self.tokens = TokenVectors(bert, layers)
        if pooling == "pooled" and not (bert.has_pooler and self.tokens.is_last):
            why = "other layers than the last have none" if bert.has_pooler else "these weights have no pooler"
            raise ConfigError(f"pooling is 'pooled', but {why}: use mean, cls or max.")
        self.is_pooled = pooling == "pooled"
        self.twin = _Pool("cls" if self.is_pooled else pooling, normalize)
        self.native = native_encoder.Pool(self.twin.pooling, normalize, self.twin) if enabled() else None

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        outputs = self.tokens.bert(input_ids, attention_mask, token_type_ids)
        if self.is_pooled:
            pooled_B1H = ops.expand_dims(ops.cast(outputs[1], ms.float32), 1)
            return self.pool(pooled_B1H, attention_mask)
        return self.pool(self.tokens.mixed(outputs), attention_mask)

    def pool(self, hidden_BSH: Tensor, attention_mask: Tensor) -> Tensor:
        if self.native is not None and takes_any(hidden_BSH, self.training) and attention_mask.dtype == ms.int32:
            return self.native(hidden_BSH, attention_mask)
        return self.twin(hidden_BSH, attention_mask)


class _Pool(nn.Cell):
    """One vector for a row from those of its tokens, by operators of any device."""

    def __init__(self, pooling: str, normalize: bool):
        super().__init__(auto_prefix=False)
        self.pooling, self.normalize = pooling, normalize

    def construct(self, hidden_BSH: Tensor, attention_mask: Tensor) -> Tensor:
        vectors_BH = self.pool(hidden_BSH, attention_mask)
        if self.normalize:
            norm_B1 = ops.sqrt(ops.reduce_sum(vectors_BH * vectors_BH, -1))
            vectors_BH = vectors_BH / ops.expand_dims(ops.maximum(norm_B1, Tensor(_LEAST_NORM, ms.float32)), 1)
        return vectors_BH

    def pool(self, hidden_BSH: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling == "cls":
            return hidden_BSH[:, 0]
        mask_BS1 = ops.expand_dims(ops.cast(attention_mask, ms.float32), -1)
        if self.pooling == "max":
            return (hidden_BSH * mask_BS1 + (1.0 - mask_BS1) * _LOWEST).max(1)
        return ops.reduce_sum(hidden_BSH * mask_BS1, 1) / ops.maximum(ops.reduce_sum(mask_BS1, 1), Tensor(1.0))
