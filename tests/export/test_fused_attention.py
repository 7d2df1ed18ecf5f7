"""Attention as one operator of ONNX Runtime gives what it gives step by step, however rows are masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra [onnx])")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra [onnx])")

from bert_ms import model  # noqa: E402 - mindspore must be quiet first
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.export import quantization  # noqa: E402
from bert_ms.export.onnx_graph import OPSET, build  # noqa: E402
from bert_ms.export.onnx_graph.files import MODEL_FILE, save  # noqa: E402
from bert_ms.export.onnx_graph.graph import RUNTIME  # noqa: E402
from bert_ms.export.onnx_session import OnnxSession  # noqa: E402

QA = "question-answering"
LENGTH = 12
OTHERS = [
    {"relative_position": "learned"},
    {"relative_position": "sinusoid"},
    {"position_embedding_type": "relative_key"},
    {"position_embedding_type": "relative_key_query"},
    {"is_decoder": True},
]
MASKS = np.array(
    [
        [1] * LENGTH,
        [1] * 5 + [0] * 7,  # padded behind
        [0] * 4 + [1] * 8,  # padded before
        [1, 0] * 6,  # with holes
        [0] * 11 + [1],  # one token
        [0] * LENGTH,  # none at all
    ],
    np.int32,
)
Inputs = list[np.ndarray]


def network(task: str = QA, *, seed: int = 5, **config: object) -> ms.nn.Cell:
    sizes = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 64, "max_position_embeddings": 32, "initializer_range": 0.1}  # fmt: skip
    ms.set_seed(seed)
    return model.build(BertConfig(**{**sizes, **config}), task)


def inputs(masks: np.ndarray = MASKS, *, seed: int = 3) -> Inputs:
    """Tokens everywhere, behind the mask, too."""
    ids = np.random.default_rng(seed).integers(5, 300, masks.shape).astype(np.int32)
    return [ids, masks, np.zeros_like(masks)]


def with_other_padding(arrays: Inputs) -> Inputs:
    """The same tokens, and others where nothing is attended to."""
    ids, masks, types = arrays
    return [np.where(masks == 1, ids, inputs(masks, seed=4)[0]), masks, types]


def session(graph: onnx.ModelProto, folder: Path) -> OnnxSession:
    folder.mkdir()
    save(graph, folder)
    return OnnxSession(folder / MODEL_FILE, device="cpu", threads=1)


def assert_same(cell: ms.nn.Cell, arrays: Inputs, folder: Path) -> None:
    """Outputs of both graphs, all rows and padding too, to 1e-5 of the largest number."""
    composed = session(build(cell), folder / "composed").run(arrays)
    fused = session(build(cell, for_runtime=True), folder / "fused").run(arrays)
    assert composed
    for one, other in zip(composed, fused, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-5 * np.abs(one).max())


@pytest.mark.parametrize("task", [QA, "encoder", "sequence-classification", "masked-lm"])
def test_outputs_are_those_of_the_graph_without_it(task: str, tmp_path: Path) -> None:
    assert_same(network(task), inputs(), tmp_path)


def test_each_choice_has_a_mask_of_its_own(tmp_path: Path) -> None:
    assert_same(network("multiple-choice"), inputs(MASKS.reshape(3, 2, LENGTH)), tmp_path)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_outputs_are_the_same_however_far_scores_are_apart(size: float, tmp_path: Path) -> None:
    """Up to 10,000: a text's first token may be far below the others, and masked ones far above."""
    cell = network("encoder", num_hidden_layers=1)
    for name, parameter in cell.parameters_and_names():
        if name.endswith(("query.weight", "key.weight")):
            parameter.set_data(ms.Tensor(parameter.asnumpy() * size))
    assert_same(cell, inputs(), tmp_path)


def test_every_layer_has_one_operator_of_attention_and_no_softmax() -> None:
    written = build(network(), for_runtime=True)
    kinds = [node.op_type for node in written.graph.node]
    assert (kinds.count("MultiHeadAttention"), kinds.count("Softmax")) == (2, 0)
    assert {entry.domain: entry.version for entry in written.opset_import} == {"": OPSET, RUNTIME: 1}


@pytest.mark.parametrize("config", OTHERS, ids=lambda config: "-".join(map(str, *config.items())))
def test_what_the_operator_does_not_cover_is_written_as_before(config: dict[str, object]) -> None:
    cell = network("causal-lm" if "is_decoder" in config else QA, **config)
    assert build(cell, for_runtime=True) == build(cell)


def rounded_to(mode: str, cell: ms.nn.Cell, folder: Path) -> OnnxSession:
    """The INT8 file of the graph with it."""
    session(build(cell, for_runtime=True), folder / "fused")
    calibration = [inputs(np.ones_like(MASKS), seed=seed) for seed in range(4)]
    quantization.quantize(folder / "fused" / MODEL_FILE, folder, mode=mode, calibration=calibration)
    return OnnxSession(folder / MODEL_FILE, device="cpu", threads=1)


@pytest.mark.parametrize("mode", quantization.MODES)
def test_an_int8_file_of_it_is_close(mode: str, tmp_path: Path) -> None:
    cell = network()
    composed, rounded = session(build(cell), tmp_path / "composed"), rounded_to(mode, cell, tmp_path)
    found = quantization.differences(composed.run, rounded.run, [inputs(MASKS[:-1])], ("start_logits", "end_logits"))
    for change in found.values():
        assert change["cosine"] > 0.995
        assert 0 < change["mean_abs"] < 0.05 * change["largest"]


@pytest.mark.parametrize(("mode", "tolerance"), [("static", 1e-5), ("dynamic", 0.05)])
def test_an_int8_file_of_it_does_not_see_what_is_masked(mode: str, tolerance: float, tmp_path: Path) -> None:
    """Of a "dynamic" file to rounding, since its ranges are those of padding, too."""
    rounded = rounded_to(mode, network(), tmp_path)
    arrays = inputs(MASKS[:-1])
    is_kept = arrays[1] == 1
    for one, other in zip(rounded.run(arrays), rounded.run(with_other_padding(arrays)), strict=True):
        np.testing.assert_allclose(other[is_kept], one[is_kept], rtol=0, atol=tolerance * np.abs(one).max())
