"""INT8 files are smaller, close to the float32 ones, and say what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bert_ms.errors import ConfigError
from bert_ms.records import Features

ms = pytest.importorskip("mindspore")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra [onnx])")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra [onnx])")

from bert_ms import model  # noqa: E402 - mindspore must be quiet first
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.export import quantization  # noqa: E402
from bert_ms.export.int8_tables import int8_rows  # noqa: E402
from bert_ms.export.onnx_graph import build  # noqa: E402
from bert_ms.export.onnx_graph.files import MODEL_FILE, save  # noqa: E402
from bert_ms.export.onnx_session import OnnxSession  # noqa: E402

OUTPUTS = ("start_logits", "end_logits")
SIZES = {"vocab_size": 600, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 64, "max_position_embeddings": 32}  # fmt: skip


def batch(rows: int = 4, length: int = 24, *, seed: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = (np.arange(length) < rng.integers(length // 2, length + 1, rows)[:, None]).astype(np.int32)
    return [rng.integers(5, 600, (rows, length)).astype(np.int32) * mask, mask, np.zeros_like(mask)]


@pytest.fixture(scope="module")
def float32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small network with weights of a trained one's size."""
    ms.set_seed(5)
    network = model.build(BertConfig(**SIZES, initializer_range=0.1), "question-answering")
    folder = tmp_path_factory.mktemp("float32")
    save(build(network), folder)
    return folder / MODEL_FILE


@pytest.fixture(scope="module", params=quantization.MODES)
def int8(request: pytest.FixtureRequest, float32: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Its INT8 copy, with what was said of it."""
    folder = tmp_path_factory.mktemp("int8")
    calibration = [batch(seed=seed) for seed in range(4)]
    return folder, quantization.quantize(float32, folder, mode=request.param, calibration=calibration)


def test_an_int8_file_is_smaller_and_close(float32: Path, int8: tuple[Path, dict]) -> None:
    folder, facts = int8
    sizes = facts["bytes"]
    assert sizes == {"float32": float32.stat().st_size, "int8": (folder / MODEL_FILE).stat().st_size}
    assert sizes["int8"] < 0.6 * sizes["float32"]
    runs = [OnnxSession(path, threads=1).run for path in (float32, folder / MODEL_FILE)]
    found = quantization.differences(*runs, [batch()], OUTPUTS)
    for name in OUTPUTS:
        assert found[name]["cosine"] > 0.995
        assert 0 < found[name]["mean_abs"] < 0.05 * found[name]["largest"]


def test_every_dense_layer_but_the_head_is_int8(float32: Path, int8: tuple[Path, dict]) -> None:
    folder, facts = int8
    names = quantization.products(onnx.load(float32))
    assert facts["int8_products"] == len(names) == 12
    assert not [name for name in names if name.startswith("qa_outputs")]
    written = onnx.load(folder / MODEL_FILE)
    weights = {tensor.name: tensor for tensor in written.graph.initializer}
    (head,) = [tensor for name, tensor in weights.items() if name.startswith("qa_outputs.weight")]
    assert head.data_type == onnx.TensorProto.FLOAT
    int8_weights = [tensor for tensor in weights.values() if tensor.data_type == onnx.TensorProto.INT8]
    assert sum(len(tensor.dims) == 2 for tensor in int8_weights) == 12 + facts["int8_tables"] == 13


def test_residual_connections_read_what_was_not_rounded(int8: tuple[Path, dict]) -> None:
    folder, _ = int8
    nodes = onnx.load(folder / MODEL_FILE).graph.node
    rounded = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    adds = [node for node in nodes if node.op_type == "Add"]
    assert adds
    assert not [node.name for node in adds if rounded & set(node.input)]


def test_a_part_that_is_named_stays_float(float32: Path, tmp_path: Path) -> None:
    keep = (*quantization.KEEP_FLOAT, "encoder.layers.1.*")
    facts = quantization.quantize(float32, tmp_path, mode="dynamic", keep_float=keep)
    assert facts["int8_products"] == 6
    assert facts["kept_float"] == list(keep)


def test_a_word_table_that_is_a_decoder_too_is_int8_in_both_uses(tmp_path: Path) -> None:
    save(build(model.build(BertConfig(**SIZES), "masked-lm")), tmp_path)
    folder = tmp_path / "int8"
    folder.mkdir()
    facts = quantization.quantize(tmp_path / MODEL_FILE, folder, mode="dynamic")
    assert facts["int8_products"] == 14
    written = onnx.load(folder / MODEL_FILE)
    largest = [tensor for tensor in written.graph.initializer if np.prod(tensor.dims) >= 600 * 32]
    assert [tensor.data_type for tensor in largest] == [onnx.TensorProto.INT8] * 2


def test_a_row_of_a_table_loses_at_most_half_a_step_of_its_own_scale() -> None:
    table = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32) * np.array([[1], [100], [0.01], [0], [3]])
    rows, scales = int8_rows(table.astype(np.float32))
    assert (np.abs(rows * scales - table).max(1) <= np.abs(table).max(1) / 254 * 1.0001 + 1e-9).all()
    assert rows.dtype == np.int8 and (rows[3] == 0).all()


def test_calibration_takes_rows_evenly_and_without_padding() -> None:
    lengths = np.array([3, 5, 4, 6, 2])
    splits = np.concatenate([[0], np.cumsum(lengths)])
    flat = np.arange(lengths.sum(), dtype=np.int32)
    features = Features(flat, np.zeros_like(flat), splits, meta={"pad_token_id": 0})
    batches = quantization.calibration_rows(features, rows=3)
    assert [arrays[0].shape for arrays in batches] == [(1, 3), (1, 4), (1, 2)]
    np.testing.assert_array_equal(batches[1][0][0], flat[8:12])
    assert all((arrays[1] == 1).all() for arrays in batches)


def test_calibration_keeps_the_choices_of_an_example_together() -> None:
    flat = np.arange(12, dtype=np.int32)
    features = Features(flat, np.zeros_like(flat), np.array([0, 2, 5, 9, 12]), meta={"group": 2, "pad_token_id": 0})
    batches = quantization.calibration_rows(features)
    assert [arrays[0].shape for arrays in batches] == [(1, 2, 3), (1, 2, 4)]


def test_differences_leave_padding_out() -> None:
    arrays = [np.ones((1, 3), np.int32), np.array([[1, 1, 0]], np.int32), np.zeros((1, 3), np.int32)]
    one, other = np.array([[1.0, 2.0, 9.0]]), np.array([[1.0, 2.5, -9.0]])
    found = quantization.differences(lambda _: [one], lambda _: [other], [arrays], ["logits"])["logits"]
    assert (found["mean_abs"], found["max_abs"], found["agreement"]) == (0.25, 0.5, 1.0)


def test_a_report_says_what_was_lost(tmp_path: Path) -> None:
    scores = {"float32": {"f1": 80.0}, "int8": {"f1": 79.6}}
    found = quantization.report({"mode": "dynamic"}, {}, scores)
    assert found["scores"]["lost"] == {"f1": 0.4}
    assert json.loads(quantization.write_report(tmp_path, found).read_text()) == found


def test_static_asks_for_rows_of_ones_own(float32: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--calibration"):
        quantization.quantize(float32, tmp_path, mode="static")


def test_an_unknown_mode_is_told_the_nearest(float32: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'static'"):
        quantization.quantize(float32, tmp_path, mode="statik")


def test_keeping_everything_float_is_no_quantisation(float32: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves no product"):
        quantization.quantize(float32, tmp_path, mode="dynamic", keep_float=("*",))
