"""Numbers made easier to round: what is large in few columns of an activation is moved into the weights."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bert_ms.export.onnx_graph.files import MODEL_FILE, save
from bert_ms.export.onnx_session import OnnxSession

if TYPE_CHECKING:
    import onnx

# Products whose inputs have columns far larger than the others, as LayerNorm leaves them.
AFTER_NORM = ("*.query/*", "*.key/*", "*.value/*", "*.feed_forward.intermediate/*")
# And as GELU leaves them. Only ranges that are measured once gain by it: columns that were small in every measured row
# are made larger than they need be, and decide for all others where a range is measured batch by batch.
AFTER_ACTIVATION = ("*.feed_forward.output/*",)
SMOOTHED = {"dynamic": AFTER_NORM, "static": (*AFTER_NORM, *AFTER_ACTIVATION)}
# How much of an activation's spread is moved: 0 none, 1 all of it.
STRENGTH = 0.75
_LEAST = 1e-5


def smooth(
    model: onnx.ModelProto,
    nodes: Sequence[str],
    batches: Sequence[Sequence[np.ndarray]],
    *,
    mode: str,
    strength: float = STRENGTH,
) -> int:
    """Divide columns of the inputs of dense layers, and multiply the columns of their weights by the same.

    Products are as before, but for rounding; an input's largest column no longer decides for all others how finely
    they are rounded. Column j is divided by max|x_j| ^ strength / max|w_j| ^ (1 - strength), of geometric mean 1.

    Args:
        model: of `onnx_graph`; it is changed.
        nodes: names of the products that will be int8; those that SMOOTHED names are smoothed.
        batches: inputs in order, to measure the columns on.
        mode: how they will be rounded, a key of SMOOTHED.
        strength: see STRENGTH.

    Returns:
        How many inputs were divided.

    Source: Xiao et al. 2023 (SmoothQuant), equations 3 and 4. There, the division is folded into the LayerNorm before;
    here, where the residual connection reads the LayerNorm too, it is an operator of its own.
    """
    groups = _groups(model, nodes, SMOOTHED[mode])
    largest = _column_maxima(model, list(groups), batches)
    for value, readers in groups.items():
        _divide(model, value, readers, largest[value], strength)
    return len(groups)


def _groups(model: onnx.ModelProto, nodes: Sequence[str], patterns: Sequence[str]) -> dict[str, list[onnx.NodeProto]]:
    """The products to smooth by their input; none whose weight is read by another node, too."""
    readers: dict[str, int] = {}
    for node in model.graph.node:
        for value in node.input:
            readers[value] = readers.get(value, 0) + 1
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        is_named = node.name in nodes and any(fnmatchcase(node.name, pattern) for pattern in patterns)
        if is_named and node.op_type == "Gemm" and readers[node.input[1]] == 1:
            found.setdefault(node.input[0], []).append(node)
    return found


def _column_maxima(
    model: onnx.ModelProto, values: Sequence[str], batches: Sequence[Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """The largest absolute number in each column of tensors [R, in], over all batches."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for value in values:
        watched.graph.output.append(onnx.helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, [None, None]))
    with tempfile.TemporaryDirectory(prefix="bert_ms-") as scratch:
        save(watched, Path(scratch))
        session = OnnxSession(Path(scratch) / MODEL_FILE, outputs=values, device="cpu")
        found = [[np.abs(array).max(0) for array in session.run(arrays)] for arrays in batches]
    return {value: np.max([one[i] for one in found], axis=0) for i, value in enumerate(values)}


def _divide(
    model: onnx.ModelProto, value: str, readers: Sequence[onnx.NodeProto], largest: np.ndarray, strength: float
) -> None:
    """Put value / scale before its readers, and scale into their weights [out, in]."""
    from onnx import helper, numpy_helper

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = [numpy_helper.to_array(tensors[node.input[1]]) for node in readers]
    of_weights = np.max([np.abs(weight).max(0) for weight in weights], axis=0)
    scale = np.maximum(largest, _LEAST) ** strength / np.maximum(of_weights, _LEAST) ** (1 - strength)
    scale = (scale / np.exp(np.log(scale).mean())).astype(np.float32)
    for node, weight in zip(readers, weights, strict=True):
        tensors[node.input[1]].CopyFrom(numpy_helper.from_array(weight * scale, node.input[1]))
        node.input[0] = f"{value}.smooth"
    model.graph.initializer.append(numpy_helper.from_array(1 / scale, f"{value}.smoothing"))
    step = helper.make_node("Mul", [value, f"{value}.smoothing"], [f"{value}.smooth"], name=f"{value}/smooth")
    model.graph.node.insert(list(model.graph.node).index(readers[0]), step)
