"""Ids to vectors: the sum of word, token type and position embeddings, normalised."""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.config import BertConfig
from bert_ms.kernels.ops import Dropout, LayerNormOp
from bert_ms.model.layers import NormParameters, normal_parameter


class EmbeddingLookup(nn.Cell):
    """Rows of a table by id; the padding row, if there is one, is read but never learns.

    Args:
        rows: rows of the table.
        hidden_size: its width H.
        padding_id: the row without gradient, None for none.
        std: standard deviation of the initial table.

    Shapes: ids int32 [...] -> [..., H].
    """

    def __init__(self, rows: int, hidden_size: int, *, padding_id: int | None = None, std: float):
        super().__init__()
        self.weight = normal_parameter(rows, hidden_size, std=std)
        self.lookup = _Gather(rows, hidden_size, -1 if padding_id is None else padding_id)

    def construct(self, ids: Tensor) -> Tensor:
        return self.lookup(self.weight, ids)


class _Gather(nn.Cell):
    """Gather of rows, with a gradient that leaves the padding row out."""

    def __init__(self, rows: int, hidden_size: int, padding_id: int):
        super().__init__()
        self.rows, self.hidden_size, self.padding_id = rows, hidden_size, padding_id

    def construct(self, table_VH: Tensor, ids: Tensor) -> Tensor:
        return ops.gather(table_VH, ids, 0)

    def bprop(self, table_VH: Tensor, ids: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        segments = ops.reshape(ids, (-1,))
        if self.padding_id >= 0:
            segments = ops.select(segments == self.padding_id, -ops.ones_like(segments), segments)
        rows = ops.reshape(ops.cast(dout, ms.float32), (-1, self.hidden_size))
        return ops.unsorted_segment_sum(rows, segments, self.rows), ops.zeros_like(ids)


class Embeddings(nn.Cell):
    """LayerNorm(word + token type + position), with dropout.

    Shapes: input_ids, token_type_ids int32 [B, S] -> [B, S, H].
    """

    def __init__(self, config: BertConfig, *, site: int, dtype: ms.dtype = ms.float32):
        super().__init__()
        width, std = config.hidden_size, config.initializer_range
        self.word_embeddings = EmbeddingLookup(config.vocab_size, width, padding_id=config.pad_token_id, std=std)
        self.token_type_embeddings = EmbeddingLookup(config.type_vocab_size, width, std=std)
        self.has_positions = config.has_absolute_positions
        if self.has_positions:
            self.position_embeddings = EmbeddingLookup(config.max_position_embeddings, width, std=std)
        self.layer_norm = NormParameters(width)
        self.normalise = LayerNormOp(config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob, site)
        self.dtype = dtype

    def construct(self, input_ids: Tensor, token_type_ids: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        hidden_BSH = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        if self.has_positions:
            hidden_BSH = hidden_BSH + self.position_embeddings.weight[: input_ids.shape[1]]
        hidden_BSH = self.normalise(hidden_BSH, self.layer_norm.weight, self.layer_norm.bias)
        return ops.cast(self.dropout(hidden_BSH, dropout_key), self.dtype)
