"""An encoder in evaluation as a handful of operators, and one graph of it for every shape."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")

from mindspore import Tensor, nn  # noqa: E402

from bert_ms import kernels  # noqa: E402
from bert_ms.config import BertConfig  # noqa: E402
from bert_ms.kernels import build as kernels_build  # noqa: E402
from bert_ms.model import build  # noqa: E402
from bert_ms.model.any_shape import any_shape  # noqa: E402
from bert_ms.model.heads.classification import ChoiceScores  # noqa: E402
from bert_ms.model.heads.masked_positions import MaskedPositionsLogits  # noqa: E402
from bert_ms.model.lora import add_adapters, merge_adapters  # noqa: E402
from bert_ms.model.pooling import SentenceVectors  # noqa: E402
from bert_ms.model.running import run_cell  # noqa: E402

CONFIG = BertConfig(
    vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
    max_position_embeddings=12, pad_token_id=0, num_labels=3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch, graph_mode: None) -> None:
    if kernels_build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    monkeypatch.setenv("BERT_MS_KERNELS", "on")


def inputs(rows: int, length: int, *, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    ids, types = random.integers(0, 30, (rows, length)), random.integers(0, 2, (rows, length))
    mask = np.ones((rows, length))
    mask[1:, length // 2 :] = 0
    return [array.astype(np.int32) for array in (ids, mask, types)]


def layer_by_layer(network: nn.Cell) -> nn.Cell:
    """The network without the operators of this file."""
    bert = getattr(network, "bert", network)
    bert.defer(whole=lambda: None)
    return network


class Weighted(nn.Cell):
    """A number that every output counts in, differently."""

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network
        self.weight = Tensor(np.random.default_rng(1).normal(size=(2, 6, 16)).astype(np.float32))

    def construct(self, *arrays: Tensor) -> Tensor:
        hidden_BSH, pooled_BH = self.network(*arrays)
        return (hidden_BSH * self.weight).sum() + (pooled_BH * self.weight[:, 0]).sum()


@pytest.fixture(scope="module", params=[0, None], ids=["padding row", "no padding row"])
def gradients(request: pytest.FixtureRequest) -> list[dict[str, np.ndarray]]:
    """Value and gradients in evaluation of one network, whole and layer by layer."""
    ms.set_context(mode=ms.GRAPH_MODE)
    network = build(dataclasses.replace(CONFIG, pad_token_id=request.param), "encoder")
    found = []
    for one in (network, layer_by_layer):
        cell = Weighted(network if one is network else layer_by_layer(network)).set_train(False)
        value, grads = ms.value_and_grad(cell, None, network.trainable_params())(*map(Tensor, inputs(2, 6)))
        named = zip(network.trainable_params(), grads, strict=True)
        found.append({"value": value.asnumpy()} | {parameter.name: grad.asnumpy() for parameter, grad in named})
    return found


def test_the_encoder_at_once_has_the_values_and_gradients_of_its_layers(gradients: list[dict[str, np.ndarray]]) -> None:
    whole, layers = gradients
    assert len(whole) == 1 + 5 + 2 * 16 + 2
    for name, expected in layers.items():
        np.testing.assert_allclose(whole[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


TASKS = (
    "encoder", "question-answering", "sequence-classification", "token-classification", "fill-mask", "multiple-choice"
)  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_one_graph_gives_the_outputs_of_every_shape(task: str) -> None:
    network = build(CONFIG, "masked-lm" if task == "fill-mask" else task)
    plain = layer_by_layer(build(CONFIG, "masked-lm" if task == "fill-mask" else task))
    for parameter, value in zip(plain.get_parameters(), network.get_parameters(), strict=True):
        parameter.set_data(value)
    wrap = {"fill-mask": MaskedPositionsLogits, "multiple-choice": ChoiceScores}.get(task)
    if wrap is not None:
        network, plain = wrap(network), wrap(plain)
    cell = any_shape(network)
    assert cell is not None
    for shape in ((1, 5), (3, 8), (2, 12)):
        arrays = inputs(*shape)
        arrays += [np.full((shape[0], 1), shape[1] - 1, np.int32)] if task == "fill-mask" else []
        found = run_cell(cell, arrays)
        if shape == (3, 8):  # the plain network compiles for each shape
            for one, expected in zip(found, run_cell(plain, arrays), strict=True):
                np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)
        assert all(np.isfinite(one).all() and one.shape[0] == shape[0] for one in found)
    assert len(cell.compile_cache) == 1


@pytest.fixture(scope="module")
def encoder() -> nn.Cell:
    ms.set_context(mode=ms.GRAPH_MODE)
    return any_shape(build(CONFIG, "encoder"))


@pytest.mark.parametrize("which", [0, 2], ids=["input_ids", "token_type_ids"])
@pytest.mark.parametrize("bad", [-1, 30])
def test_an_id_outside_its_table_is_refused(encoder: nn.Cell, which: int, bad: int) -> None:
    wrong = inputs(2, 6)
    wrong[which][1, 3] = bad
    with pytest.raises(ValueError, match=f"hold {bad}, and (type_)?vocab_size is"):
        run_cell(encoder, wrong)


def test_what_cannot_be_looked_up_is_not_a_number_and_harms_no_other_row() -> None:
    network, good = build(CONFIG, "encoder"), inputs(2, 6)
    expected = run_cell(network, good)[0]
    for which, bad in ((0, -1), (0, 30), (2, 2)):
        wrong = inputs(2, 6)
        wrong[which][1, 2] = bad
        found = run_cell(network, wrong)[0]
        assert np.isnan(found[1]).all()
        np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(run_cell(network, good)[0], expected)


def test_rows_longer_than_the_positions_are_refused(encoder: nn.Cell) -> None:
    with pytest.raises(ValueError, match="longer than max_position_embeddings 12"):
        run_cell(encoder, inputs(1, 13))


def test_a_graph_that_failed_is_made_anew(encoder: nn.Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run_cell(encoder, inputs(2, 6))
    monkeypatch.setattr(encoder.bert, "longest", None)
    with pytest.raises(RuntimeError):
        run_cell(encoder, inputs(1, 13))
    np.testing.assert_array_equal(run_cell(encoder, inputs(2, 6))[0], expected[0])


def test_inputs_of_different_shapes_are_refused(encoder: nn.Cell) -> None:
    ids, mask, types = inputs(2, 6)
    with pytest.raises(ValueError, match="do not have the shape of input_ids"):
        run_cell(encoder, [ids, mask, types[:, :5]])


def test_adapters_that_come_after_the_graph_are_computed_with() -> None:
    network = build(CONFIG, "encoder")
    cell, arrays = any_shape(network), inputs(2, 6)
    before = run_cell(cell, arrays)[0]
    add_adapters(network, ["*value.weight"], rank=2, lora_alpha=4)
    for name, parameter in network.parameters_and_names():
        if "lora_B" in name:
            parameter.set_data(Tensor(np.full(parameter.shape, 0.5, np.float32)))
    adapted = run_cell(cell, arrays)[0]
    merge_adapters(network)
    assert np.abs(adapted - before).max() > 1e-2
    np.testing.assert_allclose(run_cell(cell, arrays)[0], adapted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"relative_position": "sinusoid", "max_relative_position": 4}, "encoder"),
        ({}, "causal-lm"),
        ({"has_lstm": True}, "token-classification"),
    ],
)
def test_networks_that_are_no_such_operators_need_a_graph_for_each_shape(changes: dict, task: str) -> None:
    assert any_shape(build(dataclasses.replace(CONFIG, **changes), task)) is None


def test_plain_operators_need_a_graph_for_each_shape() -> None:
    with kernels.disabled():
        assert any_shape(build(CONFIG, "encoder")) is None


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "pooled"])
def test_vectors_of_rows_are_those_of_plain_operators_in_every_shape(pooling: str) -> None:
    bert = build(CONFIG, "encoder")
    fast, plain = SentenceVectors(bert, pooling), SentenceVectors(bert, pooling)
    plain.native = None
    cell = any_shape(fast)
    for shape in ((1, 5), (3, 8)):
        found = run_cell(cell, inputs(*shape))[0]
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, run_cell(plain, inputs(3, 8))[0], rtol=1e-5, atol=1e-6)


class Pooled(nn.Cell):
    """A number of a pooling alone."""

    def __init__(self, vectors: SentenceVectors):
        super().__init__(auto_prefix=False)
        self.vectors = vectors

    def construct(self, hidden_BSH: Tensor, mask_BS: Tensor, weight_BH: Tensor) -> Tensor:
        return (self.vectors.pool(hidden_BSH, mask_BS) * weight_BH).sum()


def test_the_gradient_of_a_pooling_is_that_of_plain_operators() -> None:
    bert, random = build(CONFIG, "encoder"), np.random.default_rng(2)
    hidden, weight = (Tensor(random.normal(size=s).astype(np.float32)) for s in ((3, 8, 16), (3, 16)))
    mask = Tensor(inputs(3, 8)[1])
    fast, plain = SentenceVectors(bert, "mean"), SentenceVectors(bert, "mean")
    plain.native = None
    found, expected = (ms.grad(Pooled(one).set_train(False))(hidden, mask, weight) for one in (fast, plain))
    np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-5, atol=1e-6)
