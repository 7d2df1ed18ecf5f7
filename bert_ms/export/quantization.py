"""INT8 copies of an ONNX file, and what they cost in accuracy."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_ms.compat import require
from bert_ms.data.loader import pad, take
from bert_ms.errors import ConfigError, unknown
from bert_ms.export.int8_tables import shrink_tables
from bert_ms.export.onnx_graph.files import MODEL_FILE, save
from bert_ms.export.smoothing import smooth
from bert_ms.records import ATTENTION_MASK, INPUT_NAMES, Features

if TYPE_CHECKING:
    import onnx

MODES = ("dynamic", "static")
REPORT_FILE = "quantization.json"
# Parts that are small beside the layers, and that answers hang on directly: they stay float.
KEEP_FLOAT = ("pooler.*", "classifier/*", "qa_outputs/*", "seq_relationship/*", "lstm/*")
# Rows that static ranges are measured on.
CALIBRATION_ROWS = 64

Arrays = Sequence[np.ndarray]
Runner = Callable[[Arrays], Sequence[np.ndarray]]


def quantize(
    source: Path,
    folder: Path,
    *,
    mode: str,
    calibration: Sequence[Arrays] = (),
    keep_float: Sequence[str] = KEEP_FLOAT,
    reduce_range: bool = False,
) -> dict[str, Any]:
    """Write an INT8 copy of an ONNX file that `onnx_graph` wrote.

    Weights of dense layers are signed and symmetric, with a scale for each output; what they are multiplied with is
    unsigned. "dynamic" measures its range batch by batch; "static" once, on rows of calibration, which saves that
    work. With calibration, inputs are smoothed first (`smoothing`). Products come out in float32. Tables of embeddings
    have a scale for each row. All else stays float32: LayerNorm, softmax, products of queries with keys, activations,
    and the parts that `keep_float` names.

    Args:
        source: the float32 file.
        folder: gets `model.onnx`.
        mode: one of MODES.
        calibration: inputs in order, a batch each; see `calibration_rows`. "dynamic" can do without.
        keep_float: patterns of nodes whose weights stay float32, for example "encoder.layers.0.*" or
            "*.feed_forward.output/*".
        reduce_range: weights of 7 bits, for processors without VNNI, whose sums of products of 8 bits may overflow.

    Returns:
        How it was done, JSON values: mode, numbers of int8 products and tables and of smoothed inputs, patterns kept,
        calibration rows, bytes before and after.

    Raises:
        DependencyError: onnxruntime is not installed.
        ConfigError: the mode is unknown; "static" without calibration; or a pattern that leaves nothing to quantise.
    """
    require("onnxruntime", extra="onnx", purpose="quantise ONNX files")
    onnx = require("onnx", extra="onnx", purpose="quantise ONNX files")
    if mode not in MODES:
        raise ConfigError(unknown("mode of quantisation", mode, MODES))
    if mode == "static" and not calibration:
        raise ConfigError(
            "static quantisation measures ranges on rows of your own data, and there are none: name a file "
            "(--calibration), or choose dynamic."
        )
    model = onnx.load(source)
    nodes = products(model, keep_float)
    if not nodes:
        raise ConfigError(f"keep_float {list(keep_float)} leaves no product of {source} to quantise: take some out.")
    smoothed = smooth(model, nodes, calibration, mode=mode) if calibration else 0
    with tempfile.TemporaryDirectory(prefix="bert_ms-") as scratch, _quiet():
        target = Path(scratch) / MODEL_FILE
        # A Gemm is taken apart first, for which onnxruntime renames it.
        named = [*nodes, *(f"{name}_MatMul" for name in nodes if name.endswith("Gemm"))]
        options = {"per_channel": True, "reduce_range": reduce_range, "nodes_to_quantize": named}
        write = _write_dynamic if mode == "dynamic" else _write_static
        write(model, target, calibration, options)
        quantized = onnx.load(target)
    _spare_other_readers(quantized, nodes)
    tables = shrink_tables(quantized)
    files = save(quantized, folder)
    return {
        "mode": mode,
        "int8_products": len(nodes),
        "int8_tables": tables,
        "smoothed_inputs": smoothed,
        "kept_float": list(keep_float),
        "reduce_range": reduce_range,
        "calibration_rows": sum(len(batch[0]) for batch in calibration),
        "bytes": {"float32": _size(source), "int8": sum((folder / name).stat().st_size for name in files)},
    }


def products(model: onnx.ModelProto, keep_float: Sequence[str] = KEEP_FLOAT) -> list[str]:
    """Names of the nodes that multiply with a weight, but for those that a pattern names."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and node.input[1] in weights
        and not any(fnmatchcase(node.name, pattern) for pattern in keep_float)
    ]


def calibration_rows(features: Features, *, rows: int = CALIBRATION_ROWS) -> list[list[np.ndarray]]:
    """Rows of a data set, one a batch and without padding, evenly spread over it.

    Args:
        features: of the user's own data, as the network will see them.
        rows: how many, or groups of rows where one example is several.

    Returns:
        int32 input_ids, attention_mask, token_type_ids [1, S] each, or [1, C, S].
    """
    group = features.group
    count = len(features) // group
    chosen = np.unique(np.linspace(0, count - 1, min(rows, count)).round().astype(np.int64))
    batches = []
    for first in chosen * group:
        some = take(features, np.arange(first, first + group))
        padded = pad(some, int(some.lengths().max()), size=group, pad_token_id=int(str(features.meta["pad_token_id"])))
        arrays = [padded[name] for name in INPUT_NAMES]
        batches.append([array[None] for array in arrays] if group > 1 else arrays)
    return batches


def differences(
    float_run: Runner, int8_run: Runner, batches: Sequence[Arrays], outputs: Sequence[str]
) -> dict[str, dict[str, float]]:
    """How far the outputs of an INT8 file are from those of the float32 one, padding left out.

    Args:
        float_run: runs the float32 file.
        int8_run: runs the INT8 file.
        batches: inputs in order, at least one batch.
        outputs: names of what both return.

    Returns:
        By output: the mean and the largest absolute difference, the largest float32 number, the mean cosine of the
        vectors (a row's numbers, or a token's), and the part of them whose largest number stands at the same place.
    """
    found = [(arrays, float_run(arrays), int8_run(arrays)) for arrays in batches]
    return {
        name: _difference(
            [vector for arrays, floats, _ in found for vector in _vectors(arrays, floats[i])],
            [vector for arrays, _, int8s in found for vector in _vectors(arrays, int8s[i])],
        )
        for i, name in enumerate(outputs)
    }


def report(
    facts: Mapping[str, Any],
    changes: Mapping[str, Mapping[str, float]],
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, Any]:
    """What there is to say of an INT8 file, JSON values.

    Args:
        facts: of `quantize`.
        changes: of `differences`.
        scores: the task's own scores on an evaluation file, by "float32" and "int8"; None where there is no file.
    """
    found: dict[str, Any] = {**facts, "differences": changes}
    if scores is not None:
        before, after = scores["float32"], scores["int8"]
        lost = {name: round(before[name] - after[name], 4) for name in before if name in after}
        found["scores"] = {"float32": dict(before), "int8": dict(after), "lost": lost}
    return found


def write_report(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write `quantization.json` into a folder."""
    path = folder / REPORT_FILE
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return path


def _write_dynamic(model: onnx.ModelProto, target: Path, _: Sequence[Arrays], options: Mapping[str, Any]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(model, target, weight_type=QuantType.QInt8, **options)


def _write_static(
    model: onnx.ModelProto, target: Path, calibration: Sequence[Arrays], options: Mapping[str, Any]
) -> None:
    """With float32 results: to round them as well would cost accuracy, and the next operator wants float32 anyway."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        model,
        target,
        _Batches([port.name for port in model.graph.input], calibration),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
        **options,
    )


def _spare_other_readers(model: onnx.ModelProto, nodes: Sequence[str]) -> None:
    """Give whoever reads a rounded tensor beside the int8 products, residual connections above all, the exact one.

    onnxruntime lets every reader of a tensor that it rounds read the rounded one.
    """
    sources = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    exact = {
        node.output[0]: sources[node.input[0]]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in sources
    }
    for node in model.graph.node:
        if node.name not in nodes:
            node.input[:] = [exact.get(value, value) for value in node.input]


class _Batches:
    """Calibration as onnxruntime reads it, one batch after the other."""

    def __init__(self, names: Sequence[str], batches: Sequence[Arrays]):
        self._left: Iterator[dict[str, np.ndarray]] = (dict(zip(names, arrays, strict=True)) for arrays in batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch by input; None after the last."""
        return next(self._left, None)


def _vectors(arrays: Arrays, output: np.ndarray) -> list[np.ndarray]:
    """The vectors of an output: a token's numbers, or a row's; without padding."""
    is_token = np.asarray(arrays[INPUT_NAMES.index(ATTENTION_MASK)]) != 0
    output = np.asarray(output, np.float64)
    if output.shape == is_token.shape:  # one number a token
        return [row[kept] for row, kept in zip(output, is_token, strict=True)]
    if output.ndim == 3 and output.shape[:2] == is_token.shape:
        return list(output[is_token])
    return list(output.reshape(-1, output.shape[-1]))


def _difference(floats: Sequence[np.ndarray], int8s: Sequence[np.ndarray]) -> dict[str, float]:
    before, after = np.concatenate(floats), np.concatenate(int8s)
    pairs = list(zip(floats, int8s, strict=True))
    lengths = [float(np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs]
    cosines = [float(a @ b) / length for (a, b), length in zip(pairs, lengths, strict=True) if length > 0]
    return {
        "mean_abs": round(float(np.abs(before - after).mean()), 6),
        "max_abs": round(float(np.abs(before - after).max()), 6),
        "largest": round(float(np.abs(before).max()), 6),
        "cosine": round(float(np.mean(cosines)) if cosines else 1.0, 6),
        "agreement": round(float(np.mean([a.argmax() == b.argmax() for a, b in pairs])), 6),
    }


def _size(path: Path) -> int:
    """Bytes of an ONNX file with those of its data beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without onnxruntime's advice to prepare the graph, which is prepared."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
