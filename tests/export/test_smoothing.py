"""Smoothed graphs give what they gave before, and lose less when they are rounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra [onnx])")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra [onnx])")

from bert_ms import model  # noqa: E402 - mindspore must be quiet first
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.export.onnx_graph import build  # noqa: E402
from bert_ms.export.onnx_graph.files import MODEL_FILE, save  # noqa: E402
from bert_ms.export.onnx_session import OnnxSession  # noqa: E402
from bert_ms.export.quantization import products, quantize  # noqa: E402
from bert_ms.export.smoothing import smooth  # noqa: E402


def inputs() -> list[np.ndarray]:
    ids = np.random.default_rng(3).integers(5, 60, (4, 12)).astype(np.int32)
    return [ids, np.ones_like(ids), np.zeros_like(ids)]


@pytest.fixture(scope="module")
def with_outliers() -> onnx.ModelProto:
    """A network whose LayerNorms make one column thirty times as large as the others, as trained ones do."""
    ms.set_seed(5)
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
             "intermediate_size": 64, "max_position_embeddings": 16}  # fmt: skip
    network = model.build(BertConfig(**sizes, initializer_range=0.1, add_pooler=False), "encoder")
    for name, parameter in network.parameters_and_names():
        if name.endswith("layer_norm.weight"):
            parameter.set_data(ms.Tensor(np.where(np.arange(32) == 7, 30, 1).astype(np.float32)))
    return build(network)


def run(graph: onnx.ModelProto, folder: Path) -> np.ndarray:
    folder.mkdir()
    save(graph, folder)
    return OnnxSession(folder / MODEL_FILE, threads=1).run(inputs())[0]


def copied(graph: onnx.ModelProto) -> onnx.ModelProto:
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    return other


# Inputs of queries, keys and values; of the first half of the feed-forward; and of the second.
@pytest.mark.parametrize(("mode", "count"), [("dynamic", 2), ("static", 3)])
def test_a_smoothed_graph_gives_what_it_gave(
    mode: str, count: int, with_outliers: onnx.ModelProto, tmp_path: Path
) -> None:
    smoothed = copied(with_outliers)
    assert smooth(smoothed, products(smoothed), [inputs()], mode=mode) == count
    before, after = run(with_outliers, tmp_path / "before"), run(smoothed, tmp_path / "after")
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_a_smoothed_graph_loses_less(with_outliers: onnx.ModelProto, tmp_path: Path) -> None:
    exact = run(with_outliers, tmp_path / "exact")
    lost = {}
    for name, calibration in (("plain", []), ("smoothed", [inputs()])):
        folder = tmp_path / name
        folder.mkdir()
        quantize(tmp_path / "exact" / MODEL_FILE, folder, mode="dynamic", calibration=calibration)
        found = OnnxSession(folder / MODEL_FILE, threads=1).run(inputs())[0]
        lost[name] = np.abs(found - exact).mean()
    assert lost["smoothed"] < 0.8 * lost["plain"]


def test_a_weight_that_others_read_is_left_alone(with_outliers: onnx.ModelProto) -> None:
    shared = copied(with_outliers)
    node = next(node for node in shared.graph.node if "query" in node.name)
    shared.graph.node.append(onnx.helper.make_node("Identity", [node.input[1]], ["copy"], name="other"))
    smooth(shared, [node.name], [inputs()], mode="dynamic")
    assert not node.input[0].endswith(".smooth")
