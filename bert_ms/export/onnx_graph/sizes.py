"""The sizes of a batch, which a graph for any batch and any length has to ask its inputs for."""

from __future__ import annotations

from bert_ms.export.onnx_graph.graph import Graph, Value


def size(graph: Graph, of: Value, axis: int) -> Value:
    """One size of a tensor, int64 [1]."""

    def make() -> Value:
        first, last = graph.integers(axis), graph.integers(axis + 1)
        return graph.op("Slice", graph.once(f"shape {of}", lambda: graph.op("Shape", of)), first, last)

    return graph.once(f"size {axis} of {of}", make)


def shape(graph: Graph, *sizes: Value) -> Value:
    """Sizes one after the other, int64 [n], for Reshape or Expand."""
    return graph.once(f"shape of {sizes}", lambda: graph.op("Concat", *sizes, axis=0))


def places(graph: Graph, length: Value) -> Value:
    """0, 1, 2, ... up to a length int64 [1], int64 [length]."""

    def make() -> Value:
        end = graph.op("Squeeze", length, graph.integers(0))
        return graph.op("Range", graph.constant(0, "int64"), end, graph.constant(1, "int64"))

    return graph.once(f"places up to {length}", make)
