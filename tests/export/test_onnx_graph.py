"""Every network, written as an ONNX graph, gives its peer's numbers under ONNX Runtime; no Cell is run."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms.errors import CheckpointError, ConfigError
from tests.checkpoint.fixtures import HUGGING_FACE, MODEL_ZOO, QA, Fixture

ms = pytest.importorskip("mindspore")
onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra [onnx])")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra [onnx])")

from bert_ms import model  # noqa: E402 - mindspore must be quiet first
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.config.model import ACTIVATIONS  # noqa: E402
from bert_ms.export.interface import outputs_of  # noqa: E402
from bert_ms.export.onnx_graph import OPSET, build  # noqa: E402
from bert_ms.export.onnx_graph.files import DATA_SUFFIX, MODEL_FILE, save  # noqa: E402
from bert_ms.export.onnx_graph.graph import Graph, Port  # noqa: E402
from bert_ms.export.onnx_graph.layers import activation  # noqa: E402
from bert_ms.export.onnx_session import OnnxSession  # noqa: E402
from tests.model.reference import ACTIVATIONS as REFERENCE  # noqa: E402

TOLERANCE = 1e-5
# Fixtures whose graph is that of another one: other types, names and files of the weights, optimiser states, labels.
SAME_GRAPH = (
    "_bf16",
    "_f16",
    "_legacy_bin",
    "_sharded",
    "_negpos",
    "_regression",
    "_multilabel",
    "_oldnames",
    "_train_",
)
WITH_LSTM = [f for f in MODEL_ZOO if "lstm" in f.name]
WRITTEN = [
    f
    for f in (*HUGGING_FACE, *MODEL_ZOO)
    if f not in WITH_LSTM and f.name != "hf_bert_lmhead_cross" and not any(part in f.name for part in SAME_GRAPH)
]


@functools.cache
def network_of(fixture: Fixture) -> ms.nn.Cell:
    return bert_ms.from_pretrained(fixture.source, fixture.task)


def run(graph: onnx.ModelProto, folder: Path, inputs: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The outputs of a graph, through a file."""
    save(graph, folder)
    return OnnxSession(folder / MODEL_FILE, device="cpu", threads=1).run(inputs)


def tiny(task: str, **config: object) -> ms.nn.Cell:
    sizes = {"vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 12, "max_position_embeddings": 16}  # fmt: skip
    return model.build(BertConfig(**{**sizes, **config}), task)


@pytest.mark.parametrize("fixture", WRITTEN, ids=[f.id for f in WRITTEN])
def test_outputs_are_the_peers(fixture: Fixture, tmp_path: Path) -> None:
    found = run(build(network_of(fixture)), tmp_path, fixture.inputs())
    ours, theirs = fixture.outputs(found, fixture.arrays("inputs")), fixture.arrays("outputs")
    assert ours
    for name, value in ours.items():
        assert value.shape == theirs[name].shape
        np.testing.assert_allclose(value, theirs[name], rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("fixture", WITH_LSTM, ids=[f.id for f in WITH_LSTM])
def test_outputs_with_a_lstm_are_the_zoos_where_nothing_is_padded(fixture: Fixture, tmp_path: Path) -> None:
    """The zoo's LSTM reads padding, ours does not; `test_verify` compares padded rows with the Cell."""
    inputs = tuple(array[:1] for array in fixture.inputs())
    assert inputs[1].all()
    found = fixture.outputs(run(build(network_of(fixture)), tmp_path, inputs), fixture.arrays("inputs"))
    for name, value in found.items():
        np.testing.assert_allclose(value, fixture.arrays("outputs")[name][: len(value)], rtol=0, atol=TOLERANCE)
    assert found


def test_every_kind_of_fixture_is_tried() -> None:
    assert (len(WRITTEN), len(WITH_LSTM)) == (36, 3)


@pytest.mark.parametrize("task", model.HEADS)
def test_a_graph_names_its_inputs_and_outputs_as_the_record_does(task: str) -> None:
    network = tiny(task)
    graph = build(network).graph
    assert [port.name for port in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert tuple(port.name for port in graph.output) == outputs_of(task, network.config)[0]
    sizes = [dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim]
    assert sizes == (["batch", "choices", "sequence"] if task == "multiple-choice" else ["batch", "sequence"])


def test_a_file_needs_nothing_but_onnx_itself(tmp_path: Path) -> None:
    written = build(tiny("token-classification", has_lstm=True, has_crf=True, relative_position="learned"))
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", OPSET)]
    assert {port.name for port in written.graph.initializer} >= {"encoder.layers.0.attention.query.weight"}
    assert save(written, tmp_path) == [MODEL_FILE]


def test_padding_changes_nothing_and_any_length_will_do(tmp_path: Path) -> None:
    fixture = next(f for f in WRITTEN if f.name == "hf_nezha_qa")
    ids, mask, types = (array[:1] for array in fixture.inputs())
    whole = run(build(network_of(fixture)), tmp_path, (ids, mask, types))
    session = OnnxSession(tmp_path / MODEL_FILE, threads=1)
    padded = session.run([np.pad(array, ((0, 1), (0, 9))) for array in (ids, mask, types)])
    for one, other in zip(whole, padded, strict=True):
        np.testing.assert_allclose(one[0], other[0, : ids.shape[1]], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_what_its_formula_says(name: str, tmp_path: Path) -> None:
    x = np.linspace(-6, 6, 97, dtype=np.float32)
    graph = Graph({})
    port = Port("y", "float32", (97,))
    written = graph.model([Port("x", "float32", (97,))], {activation(graph, "x", name): port}, opset=OPSET, ir=8)
    (found,) = run(written, tmp_path, (x,))
    np.testing.assert_allclose(found, REFERENCE[name](x.astype(np.float64)), rtol=0, atol=2e-6)


def test_many_weights_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    fixture = next(f for f in WRITTEN if f.task == QA)
    assert save(build(network_of(fixture)), tmp_path, most_bytes=1000) == [MODEL_FILE, MODEL_FILE + DATA_SUFFIX]
    assert (tmp_path / MODEL_FILE).stat().st_size < (tmp_path / (MODEL_FILE + DATA_SUFFIX)).stat().st_size
    start, _ = OnnxSession(tmp_path / MODEL_FILE, threads=1).run(fixture.inputs())
    np.testing.assert_allclose(start, fixture.arrays("outputs")["start_logits"], rtol=0, atol=TOLERANCE)


def test_cross_attention_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="add_cross_attention is true.*not written as ONNX"):
        build(tiny("causal-lm", add_cross_attention=True, is_decoder=True))


def test_an_unknown_task_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'question-answering'"):
        build(tiny("encoder"), task="question-anwering")


def test_a_network_of_another_task_says_which_parameter_is_missing() -> None:
    with pytest.raises(CheckpointError, match="no parameter 'qa_outputs.weight'"):
        build(tiny("encoder"), task="question-answering")


def test_adapters_have_to_be_merged_first() -> None:
    from bert_ms.model.lora import add_adapters, merge_adapters

    network = tiny("encoder")
    add_adapters(network, ["*.query.weight"], rank=2, lora_alpha=4)
    with pytest.raises(CheckpointError, match="merge_adapter"):
        build(network)
    merge_adapters(network)
    assert build(network).graph.node
