"""What attention knows of distances: one part for each kind, injected into attention."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import XavierUniform, initializer

from bert_ms.config import BertConfig
from bert_ms.model.layers import normal_parameter


def relative_positions(config: BertConfig, *, dtype: ms.dtype = ms.float32) -> nn.Cell | None:
    """The part that the config asks for; None for absolute positions."""
    if config.relative_position == "learned":
        return LearnedNezha(config, dtype=dtype)
    if config.relative_position == "sinusoid":
        return SinusoidNezha(config, dtype=dtype)
    if config.position_embedding_type != "absolute":
        return RelativeKey(config, with_query=config.position_embedding_type == "relative_key_query", dtype=dtype)
    return None


def sinusoid_table(rows: int, size: int) -> np.ndarray:
    """Fixed table float32 [rows, size]: sine at even, cosine at odd columns.

    Args:
        rows: number of distances.
        size: width of a row, even.

    Source: Wei et al. 2019 (NEZHA), section 2.1; `[p, 2k] = sin(p / 10000^(2k / size))`.
    """
    angle = np.arange(rows)[:, None] / np.power(10000.0, np.arange(0, size, 2) / size)[None, :]
    table = np.empty((rows, size), np.float64)
    table[:, 0::2], table[:, 1::2] = np.sin(angle), np.cos(angle)
    return table.astype(np.float32)


class _Distances(nn.Cell):
    """Rows of a table for every (query, key) pair, and their products with queries and probabilities.

    Products are batched over the query's position, so that the table of all pairs R_STD is the only large array.
    """

    # Whether values get a distance term too.
    adds_to_context = False

    def __init__(self, config: BertConfig, *, dtype: ms.dtype):
        super().__init__()
        self.dtype = dtype
        self.by_key = ops.BatchMatMul(transpose_b=True)
        self.by_value = ops.BatchMatMul()

    def distances(self, queries: int, keys: int, first: Tensor | int) -> Tensor:
        """Position of the query less that of the key, [S, T]; the first query stands at the key number `first`."""
        return ops.expand_dims(ops.arange(queries) + first, 1) - ops.expand_dims(ops.arange(keys), 0)

    def rows_of(self, table_RD: Tensor, index_ST: Tensor) -> Tensor:
        return ops.cast(ops.gather(table_RD, index_ST, 0), self.dtype)

    def query_product(self, query_BNSD: Tensor, rows_STD: Tensor) -> Tensor:
        """Sum over D of query[b,n,s,d] * rows[s,t,d], [B, N, S, T]."""
        B, N, S, D = query_BNSD.shape
        by_position = ops.reshape(ops.transpose(query_BNSD, (2, 0, 1, 3)), (S, B * N, D))
        product = self.by_key(by_position, rows_STD)
        return ops.transpose(ops.reshape(product, (S, B, N, rows_STD.shape[1])), (1, 2, 0, 3))

    def value_product(self, probs_BNST: Tensor, rows_STD: Tensor) -> Tensor:
        """Sum over T of probs[b,n,s,t] * rows[s,t,d], [B, N, S, D]."""
        B, N, S, T = probs_BNST.shape
        by_position = ops.reshape(ops.transpose(probs_BNST, (2, 0, 1, 3)), (S, B * N, T))
        product = self.by_value(by_position, rows_STD)
        return ops.transpose(ops.reshape(product, (S, B, N, rows_STD.shape[2])), (1, 2, 0, 3))


class _Nezha(_Distances):
    """NEZHA: distances, clipped, add a term to the scores AND to the context, from one table.

    Row = clip(key - query, -M, M) + M. Source: Wei et al. 2019, section 2.1; Shaw et al. 2018, equations 3 and 4.
    """

    adds_to_context = True

    def __init__(self, config: BertConfig, *, dtype: ms.dtype):
        super().__init__(config, dtype=dtype)
        self.largest = config.max_relative_position

    def pair_rows(self, queries: int, keys: int, first: Tensor | int) -> Tensor:
        distance_ST = -self.distances(queries, keys, first)
        index_ST = ops.cast(ops.clip_by_value(distance_ST, -self.largest, self.largest) + self.largest, ms.int32)
        return self.rows_of(self.table(), index_ST)

    def scores(self, query_BNSD: Tensor, key_BNTD: Tensor, first: Tensor | int = 0) -> Tensor:
        """Term of the raw scores, before their division by sqrt(D), [B, N, S, T]."""
        return self.query_product(query_BNSD, self.pair_rows(query_BNSD.shape[2], key_BNTD.shape[2], first))

    def context(self, probs_BNST: Tensor, first: Tensor | int = 0) -> Tensor:
        """Term of the context, [B, N, S, D]."""
        return self.value_product(probs_BNST, self.pair_rows(probs_BNST.shape[2], probs_BNST.shape[3], first))


class LearnedNezha(_Nezha):
    """The model zoo's NEZHA: a learned table [2M + 1, D] in each layer."""

    def __init__(self, config: BertConfig, *, dtype: ms.dtype = ms.float32):
        super().__init__(config, dtype=dtype)
        shape = [2 * config.max_relative_position + 1, config.head_size]
        self.weight = Parameter(initializer(XavierUniform(), shape, ms.float32))

    def table(self) -> Tensor:
        return self.weight


class SinusoidNezha(_Nezha):
    """The published NEZHA (huawei-noah, Hugging Face): a fixed sinusoid table, no parameter."""

    def __init__(self, config: BertConfig, *, dtype: ms.dtype = ms.float32):
        super().__init__(config, dtype=dtype)
        self.fixed = Tensor(sinusoid_table(2 * config.max_relative_position + 1, config.head_size))

    def table(self) -> Tensor:
        return self.fixed


class RelativeKey(_Distances):
    """Hugging Face's relative_key and relative_key_query: distances add to the scores only.

    Row = (query - key) + P - 1 of a learned table [2P - 1, D] in each layer; relative_key_query adds the key's product
    too. Source: Huang et al. 2020, methods 3 and 4.
    """

    def __init__(self, config: BertConfig, *, with_query: bool, dtype: ms.dtype = ms.float32):
        super().__init__(config, dtype=dtype)
        self.with_query, self.offset = with_query, config.max_position_embeddings - 1
        self.weight = normal_parameter(
            2 * config.max_position_embeddings - 1, config.head_size, std=config.initializer_range
        )

    def scores(self, query_BNSD: Tensor, key_BNTD: Tensor, first: Tensor | int = 0) -> Tensor:
        """Term of the raw scores, before their division by sqrt(D), [B, N, S, T]."""
        index_ST = ops.cast(self.distances(query_BNSD.shape[2], key_BNTD.shape[2], first) + self.offset, ms.int32)
        if key_BNTD.shape[2] > self.offset + 1:  # places that nothing is at yet
            index_ST = ops.clip_by_value(index_ST, 0, 2 * self.offset)
        terms_BNST = self.query_product(query_BNSD, self.rows_of(self.weight, index_ST))
        if self.with_query:
            # The same product with the roles of s and t exchanged: rows[s,t] read as [t,s].
            rows_TSD = self.rows_of(self.weight, ops.transpose(index_ST, (1, 0)))
            terms_BNST = terms_BNST + ops.transpose(self.query_product(key_BNTD, rows_TSD), (0, 1, 3, 2))
        return terms_BNST
