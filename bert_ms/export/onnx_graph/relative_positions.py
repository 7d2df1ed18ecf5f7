"""What attention knows of distances, as `bert_ms.model.relative_positions` has it."""

from __future__ import annotations

from bert_ms.config import BertConfig
from bert_ms.export.onnx_graph.graph import Graph, Value
from bert_ms.export.onnx_graph.sizes import places, shape, size


class Distances:
    """Terms of the scores and of the context, of one layer.

    Args:
        graph: that is added to.
        config: of the network, with NEZHA's relative positions or with relative_key(_query).
        attention: name of the layer's attention.
        input_ids: [B, S], for the sizes.
    """

    def __init__(self, graph: Graph, config: BertConfig, attention: str, input_ids: Value):
        self.graph, self.config, self.attention, self.ids = graph, config, attention, input_ids
        self.is_nezha = config.relative_position != "none"
        self.with_query = config.position_embedding_type == "relative_key_query"

    def scores(self, query_BNSD: Value, key_BNSD: Value) -> Value:
        """Term of the raw scores, before their division by sqrt(D), [B, N, S, S]."""
        rows_SDT = self.graph.op("Transpose", self.rows(), perm=(0, 2, 1))
        terms_BNST = self.product(query_BNSD, rows_SDT, self.length)
        if self.with_query:
            # The same with the roles of s and t exchanged: rows[s, t] read as [t, s].
            rows_TDS = self.graph.op("Transpose", self.rows(), perm=(1, 2, 0))
            swapped_BNTS = self.product(key_BNSD, rows_TDS, self.length)
            terms_BNST = self.graph.op("Add", terms_BNST, self.graph.op("Transpose", swapped_BNTS, perm=(0, 1, 3, 2)))
        return terms_BNST

    def context(self, probs_BNST: Value) -> Value:
        """Term of the context, [B, N, S, D]."""
        return self.product(probs_BNST, self.rows(), self.graph.integers(self.config.head_size))

    @property
    def length(self) -> Value:
        """The length S, int64 [1]."""
        return size(self.graph, self.ids, 1)

    def product(self, x_BNSU: Value, rows_SUW: Value, width: Value) -> Value:
        """Sum over U of x[b,n,s,u] * rows[s,u,w], [B, N, S, W]; one product of matrices for each s."""
        graph, heads = self.graph, self.config.num_attention_heads
        turned_SBNU = graph.op("Transpose", x_BNSU, perm=(2, 0, 1, 3))
        last = self.length if width != self.length else graph.integers(self.config.head_size)
        flat = shape(graph, self.length, graph.integers(-1), last)
        product_SRW = graph.op("MatMul", graph.op("Reshape", turned_SBNU, flat), rows_SUW)
        apart = shape(graph, self.length, graph.integers(-1), graph.integers(heads), width)
        return graph.op("Transpose", graph.op("Reshape", product_SRW, apart), perm=(1, 2, 0, 3))

    def rows(self) -> Value:
        """Row of the table for each query and key, [S, S, D]; one for all layers where the table is fixed."""
        name = f"{self.attention}.relative_positions.weight"
        if self.config.relative_position == "sinusoid":
            return self.graph.once("sinusoid rows", lambda: self.graph.op("Gather", self.sinusoids(), self.index()))
        table, index = self.graph.weight(name), self.index()
        return self.graph.once(f"rows of {name}", lambda: self.graph.op("Gather", table, index))

    def sinusoids(self) -> Value:
        from bert_ms.model.relative_positions import sinusoid_table

        table = sinusoid_table(2 * self.config.max_relative_position + 1, self.config.head_size)
        return self.graph.own("sinusoid_table", table)

    def index(self) -> Value:
        """Number of the table's row for each query (first axis) and key, int64 [S, S]."""
        return self.graph.once("distance index", self.nezha_index if self.is_nezha else self.key_index)

    def nezha_index(self) -> Value:
        """clip(key - query, -M, M) + M."""
        graph, largest = self.graph, self.config.max_relative_position
        low, high = (graph.constant(value, "int64") for value in (-largest, largest))
        clipped = graph.op("Clip", self.difference(first=0, second=1), low, high)
        return graph.op("Add", clipped, graph.constant(largest, "int64"))

    def key_index(self) -> Value:
        """(query - key) + P - 1."""
        offset = self.graph.constant(self.config.max_position_embeddings - 1, "int64")
        return self.graph.op("Add", self.difference(first=1, second=0), offset)

    def difference(self, *, first: int, second: int) -> Value:
        """place - place, the one along the axis that `first` says is new, less the other one, [S, S]."""
        graph, place_S = self.graph, places(self.graph, self.length)
        minuend, subtrahend = (graph.op("Unsqueeze", place_S, graph.integers(axis)) for axis in (first, second))
        return graph.op("Sub", minuend, subtrahend)


def distances(graph: Graph, config: BertConfig, attention: str, input_ids: Value) -> Distances | None:
    """The part that the config asks for; None for absolute positions."""
    if config.relative_position == "none" and config.position_embedding_type == "absolute":
        return None
    return Distances(graph, config, attention, input_ids)
