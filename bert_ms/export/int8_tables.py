"""Tables of embeddings in INT8, with a scale for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

# Smaller ones stay as they are: what they would save is not worth a rounding.
_LEAST_ROWS = 256
_LARGEST = 127


def shrink_tables(model: onnx.ModelProto) -> int:
    """Store float32 tables that are only ever looked up in as int8 rows; returns how many.

    Row r becomes round(row / scale[r]), scale[r] = max(|row|) / 127: at most 1 / 254 of the row's largest number is
    lost. A looked-up row is multiplied with its scale again.

    Args:
        model: that is changed. ONNX Runtime's own way, one scale for a whole table, costs far more accuracy, since the
            largest of all words decides for every word.
    """
    from onnx import numpy_helper

    graph, shrunk = model.graph, 0
    for table in list(graph.initializer):
        readers = [node for node in graph.node if table.name in node.input]
        is_looked_up = readers and all(_looks_up(node, table.name) for node in readers)
        if not is_looked_up or len(table.dims) != 2 or table.dims[0] < _LEAST_ROWS:
            continue
        rows, scales = int8_rows(numpy_helper.to_array(table))
        graph.initializer.remove(table)
        graph.initializer.append(numpy_helper.from_array(rows, f"{table.name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{table.name}.scales"))
        for node in readers:
            _look_up_scaled(model, node, table.name)
        shrunk += 1
    return shrunk


def int8_rows(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table float32 [V, H] as int8 [V, H] and the scale of each row, float32 [V, 1]."""
    largest = np.abs(table).max(1, keepdims=True)
    scales = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return np.rint(table / scales).astype(np.int8), scales


def _looks_up(node: onnx.NodeProto, table: str) -> bool:
    """Whether a node takes rows of a table, and nothing else of it."""
    axes = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    return node.op_type == "Gather" and node.input[0] == table and node.input[1] != table and axes in ([], [0])


def _look_up_scaled(model: onnx.ModelProto, node: onnx.NodeProto, table: str) -> None:
    """Put rows * scales in the place of a look-up."""
    from onnx import TensorProto, helper

    ids, result, name = node.input[1], node.output[0], node.name
    replaced = [
        helper.make_node("Gather", [f"{table}.int8", ids], [f"{result}.int8"], name=f"{name}/int8"),
        helper.make_node("Gather", [f"{table}.scales", ids], [f"{result}.scales"], name=f"{name}/scales"),
        helper.make_node("Cast", [f"{result}.int8"], [f"{result}.rows"], name=f"{name}/rows", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{result}.rows", f"{result}.scales"], [result], name=f"{name}/scaled"),
    ]
    at = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for step, new in enumerate(replaced):
        model.graph.node.insert(at + step, new)
