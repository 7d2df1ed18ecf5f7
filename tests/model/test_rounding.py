"""Networks whose layers are rounded to 8 bits: near what they were, in every head, and refused where they cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")

from mindspore import Tensor, nn  # noqa: E402

from bert_ms import checkpoint, compat, kernels  # noqa: E402
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.errors import CheckpointError, ConfigError, DeviceError  # noqa: E402
from bert_ms.hub.adapters import add_adapter, merge_adapter  # noqa: E402
from bert_ms.hub.load import from_config, from_pretrained, with_loss  # noqa: E402
from bert_ms.kernels import build as kernels_build  # noqa: E402
from bert_ms.model import build, count_parameters, round_to_int8  # noqa: E402
from bert_ms.model.any_shape import any_shape  # noqa: E402
from bert_ms.model.heads.classification import ChoiceScores  # noqa: E402
from bert_ms.model.heads.masked_positions import MaskedPositionsLogits  # noqa: E402
from bert_ms.model.pooling import SentenceVectors, TokenVectors  # noqa: E402
from bert_ms.model.running import run_cell  # noqa: E402
from bert_ms.tokenization import Tokenizer  # noqa: E402
from tests.support import minilm  # noqa: E402

CONFIG = BertConfig(
    vocab_size=30, hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=50,
    max_position_embeddings=12, pad_token_id=0, num_labels=3, initializer_range=0.1,
)  # fmt: skip
TEXTS = ["The king of France had a great army.", "He wrote it down in 1805, and it was forgotten."]


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch, graph_mode: None) -> None:
    if kernels_build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    monkeypatch.setenv("BERT_MS_KERNELS", "on")
    ms.set_seed(5)


def inputs(rows: int, length: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    mask = np.ones((rows, length))
    mask[1:, length // 2 :] = 0
    arrays = (random.integers(0, 30, (rows, length)), mask, random.integers(0, 2, (rows, length)))
    return [array.astype(np.int32) for array in arrays]


def least_cosine(found: np.ndarray, expected: np.ndarray) -> float:
    found, expected = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (found, expected))
    return float((found * expected).sum(-1).min())


def test_minilm_says_in_int8_what_it_says_in_float32() -> None:
    tokenizer = Tokenizer.from_pretrained(minilm())
    rows = tokenizer.encode_batch(TEXTS)
    length = max(map(len, rows))
    arrays = [np.zeros((len(rows), length), np.int32) for _ in range(3)]
    for number, row in enumerate(rows):
        arrays[0][number, : len(row)], arrays[1][number, : len(row)] = row.input_ids, 1
    found, expected = (
        run_cell(SentenceVectors(from_pretrained(minilm(), dtype=dtype)), arrays)[0] for dtype in ("int8", None)
    )
    assert 0.998 <= least_cosine(found, expected) < 1 - 1e-5


TASKS = (
    "encoder", "pretraining", "masked-lm", "fill-mask", "next-sentence", "sequence-classification", "multiple-choice",
    "token-classification", "bilstm", "question-answering",
)  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_every_head_has_outputs_near_those_of_the_exact_layers(task: str) -> None:
    config = dataclasses.replace(CONFIG, has_lstm=task == "bilstm")
    network = build(config, {"fill-mask": "masked-lm", "bilstm": "token-classification"}.get(task, task))
    cell: nn.Cell = {"fill-mask": MaskedPositionsLogits, "multiple-choice": ChoiceScores}.get(task, nn.Cell.set_train)(
        network
    ).set_train(False)
    arrays = inputs(3, 8)
    arrays += [np.full((3, 1), 2, np.int32)] if task == "fill-mask" else []
    expected = run_cell(cell, arrays)
    assert round_to_int8(network) is network
    found = run_cell(any_shape(cell) or cell, arrays)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert 1e-4 < np.linalg.norm(one - other) / np.linalg.norm(other) < 0.02


def test_a_graph_of_the_exact_network_is_not_taken_for_the_rounded_one() -> None:
    network, arrays = build(CONFIG, "encoder"), inputs(2, 6)
    cell = any_shape(network)
    plain, whole = run_cell(network, arrays)[0], run_cell(cell, arrays)[0]
    round_to_int8(network)
    found = run_cell(network, arrays)[0]
    assert np.abs(found - plain).max() > 1e-4
    np.testing.assert_array_equal(run_cell(cell, arrays)[0], found)
    assert np.abs(found - whole).max() > 1e-4


def test_one_graph_serves_every_shape_and_a_rows_bits_do_not_depend_on_it() -> None:
    cell = any_shape(round_to_int8(build(CONFIG, "encoder")))
    ids, mask, types = inputs(3, 6)
    together = run_cell(cell, [ids, mask, types])[0]
    for length in (6, 8, 12):
        wider = [np.pad(array[1:2], ((0, 0), (0, length - 6))) for array in (ids, mask, types)]
        np.testing.assert_array_equal(run_cell(cell, wider)[0][0, :3], together[1, :3])
    assert len(cell.compile_cache) == 1


def test_the_exact_weights_are_gone_and_still_counted() -> None:
    network = build(CONFIG, "question-answering")
    numbers, exact = count_parameters(network), sum(4 * p.size for p in network.get_parameters())
    assert numbers == sum(p.size for p in network.get_parameters())
    round_to_int8(network)
    names = [name for name, _ in network.parameters_and_names()]
    assert not [name for name in names if "encoder.layers" in name]
    assert len([name for name in names if ".int8." in name]) == 3 * CONFIG.num_hidden_layers
    assert not [p.name for p in network.trainable_params() if "int8" in p.name]
    assert count_parameters(network) == numbers
    assert sum(p.nbytes for p in network.get_parameters()) < exact


def test_layers_of_both_modes_are_the_same(request: pytest.FixtureRequest) -> None:
    network, arrays = round_to_int8(build(CONFIG, "encoder")), inputs(2, 6)
    graph = run_cell(network, arrays)
    compat.use_device("cpu", graph_mode=False)
    for one, other in zip(run_cell(network, arrays), graph, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "task", "said"),
    [
        ({"relative_position": "sinusoid"}, "encoder", "relative_position 'sinusoid'"),
        ({"relative_position": "learned"}, "encoder", "relative_position 'learned'"),
        ({"position_embedding_type": "relative_key"}, "encoder", "position_embedding_type 'relative_key'"),
        ({}, "causal-lm", "is_decoder"),
        ({"is_decoder": True, "add_cross_attention": True}, "encoder", "add_cross_attention"),
    ],
)
def test_other_attention_is_refused_before_weights_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, task: str, said: str
) -> None:
    network = build(dataclasses.replace(CONFIG, **changes), task)
    checkpoint.save(network, tmp_path)
    monkeypatch.setattr(checkpoint, "load_into", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(ConfigError, match=f"dtype is int8, .* absolute positions, .*{said}.*Use float32"):
        from_pretrained(tmp_path, task, dtype="int8")
    with pytest.raises(ConfigError, match=f"dtype is int8, .*{said}"):
        round_to_int8(network)


def test_a_decoders_task_is_refused_of_an_encoders_weights(tmp_path: Path) -> None:
    checkpoint.save(build(CONFIG, "masked-lm"), tmp_path)
    with pytest.raises(ConfigError, match="dtype is int8, .* causal-lm is for a decoder"):
        from_pretrained(tmp_path, "causal-lm", dtype="int8")


def test_without_native_operators_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(build(CONFIG, "encoder"), tmp_path)
    with kernels.disabled(), pytest.raises(DeviceError, match="dtype is int8, .*disabled for what is built here"):
        from_pretrained(tmp_path, dtype="int8")
    monkeypatch.setenv("BERT_MS_KERNELS", "off")
    with pytest.raises(DeviceError, match=r"dtype is int8, .*\(BERT_MS_KERNELS=off\): use float32"):
        from_pretrained(tmp_path, dtype="int8")
    monkeypatch.setenv("BERT_MS_KERNELS", "auto")
    monkeypatch.setattr(compat, "current_device", lambda: "ascend")
    with pytest.raises(DeviceError, match=r"dtype is int8, .*\(the device is ascend\)"):
        from_pretrained(tmp_path, dtype="int8")


def test_a_slow_processor_is_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("bert_ms.model.rounding.has_int8_unit", lambda: False)
    round_to_int8(build(CONFIG, "encoder"))
    assert "(VNNI): int8 is slower than float32" in caplog.text


def test_random_weights_are_not_rounded() -> None:
    with pytest.raises(ConfigError, match="dtype is int8, which rounds weights that are loaded"):
        from_config(CONFIG, dtype="int8")
    with pytest.raises(ConfigError, match="unknown dtype 'int4'.*float32, int8"):
        from_config(CONFIG, dtype="int4")


def without_native_operators() -> nn.Cell:
    with kernels.disabled():
        return build(CONFIG, "encoder")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: round_to_int8(build(CONFIG, "encoder")), "it is rounded already"),
        (lambda: build(CONFIG, "encoder").set_train(True), "it is in training mode"),
        (lambda: build(CONFIG, "encoder", dtype="float16"), "it computes in float16: build it in float32"),
        (lambda: build(CONFIG, "encoder").set_outputs("attentions"), "hidden states or attentions"),
        (lambda: add_adapter(build(CONFIG, "encoder")), r"has adapters: .*merge_adapter"),
        (without_native_operators, "it was built without native operators"),
        (lambda: nn.Dense(2, 3), "int8 is for networks with an encoder, not for Dense"),
    ],
)
def test_what_cannot_be_rounded_is_said(make: object, said: str) -> None:
    network = make()  # type: ignore[operator]
    with pytest.raises(ConfigError, match=said):
        round_to_int8(network)


@pytest.fixture
def rounded() -> nn.Cell:
    return round_to_int8(build(CONFIG, "question-answering"))


def test_it_is_not_saved(rounded: nn.Cell, tmp_path: Path) -> None:
    for format in checkpoint.FORMATS:
        with pytest.raises(CheckpointError, match="QuestionAnswering is of dtype int8, .*load it without dtype"):
            checkpoint.save(rounded, tmp_path / "saved", format=format)
    with pytest.raises(CheckpointError, match="BertModel is of dtype int8"):
        checkpoint.save(round_to_int8(build(CONFIG, "encoder")), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_it_is_not_trained(rounded: nn.Cell) -> None:
    with pytest.raises(ConfigError, match="dtype int8 answers, and cannot be trained: .*float32"):
        with_loss(rounded).set_train(True)
    arrays = [Tensor(array) for array in (*inputs(2, 6), *np.ones((2, 2), np.int32))]
    loss = with_loss(rounded).set_train(False)
    assert np.isfinite(loss(*arrays).asnumpy())  # of an evaluation
    with pytest.raises(ValueError, match="dtype int8 has no gradients: differentiate the same weights in float32"):
        ms.value_and_grad(loss, None, rounded.trainable_params())(*arrays)


def test_it_gets_no_adapters(rounded: nn.Cell) -> None:
    before = run_cell(rounded, inputs(2, 6))
    with pytest.raises(ConfigError, match="dtype int8 has given up the float32 weights .*load it anew"):
        add_adapter(rounded, targets=["*qa_outputs.weight"])
    with pytest.raises(ConfigError, match="dtype int8 has given up the float32 weights"):
        rounded.bert.parameters_changed()
    assert merge_adapter(rounded) is rounded  # there are none
    for one, other in zip(run_cell(rounded, inputs(2, 6)), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_gives_the_last_layer_alone(rounded: nn.Cell) -> None:
    with pytest.raises(ConfigError, match="hidden_states and attentions are asked for, .*dtype int8 gives the last"):
        rounded.bert.set_outputs("hidden_states", "attentions")
    with pytest.raises(ConfigError, match="hidden_states are asked for, .*use float32"):
        TokenVectors(rounded.bert, (-1, -2))
    assert TokenVectors(rounded.bert, (2,)).is_last


def test_inputs_of_other_kinds_are_refused(rounded: nn.Cell) -> None:
    ids, mask, types = inputs(2, 6)
    with pytest.raises(ValueError, match=r"attention_mask is \[B, S, S\]"):
        run_cell(rounded, [ids, np.ones((2, 6, 6), np.int32), types])
    with pytest.raises(ValueError, match="dtype int8 takes int32 input_ids"):
        run_cell(rounded, [ids, mask.astype(np.float32), types])
