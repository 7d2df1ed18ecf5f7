"""The Cells against an independent float64 implementation, in evaluation and in training."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError
from tests.model.reference import encode, no_dropout

ms = pytest.importorskip("mindspore")

from bert_ms.kernels.derived_mask import keep_mask  # noqa: E402 - mindspore must be quiet first
from bert_ms.model import WithLoss, build  # noqa: E402

SMALL = BertConfig(
    vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=20, initializer_range=0.3,
)  # fmt: skip
VARIANTS = {
    "bert": {},
    "gelu_tanh": {"hidden_act": "gelu_tanh"},
    "fast_gelu": {"hidden_act": "fast_gelu"},
    "relu": {"hidden_act": "relu"},
    "silu": {"hidden_act": "silu"},
    "mish": {"hidden_act": "mish"},
    "epsilon": {"layer_norm_eps": 1e-3},
    "decoder": {"is_decoder": True},
    "relative_key": {"position_embedding_type": "relative_key"},
    "relative_key_query": {"position_embedding_type": "relative_key_query"},
    "nezha_learned": {"relative_position": "learned", "max_relative_position": 4},
    "nezha_sinusoid": {"relative_position": "sinusoid", "max_relative_position": 5},
}


def batch(config: BertConfig, B: int = 3, S: int = 11) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    ids = rng.integers(1, config.vocab_size, (B, S))
    mask = np.ones((B, S), int)
    mask[1, 7:] = 0
    mask[2, 3:5] = 0
    ids[1, 7:] = 0
    types = (np.arange(S)[None] >= 5).repeat(B, 0)
    return [array.astype(np.int32) for array in (ids, mask, types)]


def network(config: BertConfig, task: str = "encoder", dtype: str = "float32"):
    ms.set_seed(1)
    cell = build(config, task, dtype=dtype)
    rng = np.random.default_rng(0)
    for parameter in cell.get_parameters():
        noise = rng.normal(0, 0.05, parameter.shape) if parameter.name.endswith("bias") else 0
        parameter.set_data(ms.Tensor((parameter.asnumpy() + noise).astype(np.float32)))
    return cell


def weights_of(cell) -> dict[str, np.ndarray]:
    return {p.name.removeprefix("bert."): p.asnumpy() for p in cell.get_parameters()}


def tensors(arrays: list[np.ndarray]) -> list:
    return [ms.Tensor(array) for array in arrays]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", ["graph_mode", "pynative_mode"])
def test_every_hidden_state_and_attention_equals_the_reference(variant, mode, request):
    request.getfixturevalue(mode)
    config = dataclasses.replace(SMALL, **VARIANTS[variant])
    cell, inputs = network(config), batch(config)
    plain = cell(*tensors(inputs))
    last, pooled, states, attentions = cell.set_outputs("hidden_states", "attentions")(*tensors(inputs))
    expected_states, expected_attentions = encode(config, weights_of(cell), *inputs)
    assert len(states) == len(expected_states) == 3 and len(attentions) == len(expected_attentions) == 2
    for got, expected in zip([*states, *attentions], [*expected_states, *expected_attentions], strict=True):
        np.testing.assert_allclose(got.asnumpy(), expected, atol=1e-5)
    np.testing.assert_allclose(last.asnumpy(), expected_states[-1], atol=1e-5)
    np.testing.assert_allclose(plain[0].asnumpy(), expected_states[-1], atol=1e-5)  # the fused way, without attentions
    w = weights_of(cell)
    expected = np.tanh(expected_states[-1][:, 0] @ w["pooler.dense.weight"].T + w["pooler.dense.bias"])
    np.testing.assert_allclose(pooled.asnumpy(), expected, atol=1e-5)


@pytest.mark.parametrize("variant", ["bert", "nezha_sinusoid"])
def test_dropout_in_training_stands_where_the_paper_puts_it(variant, graph_mode):
    config = dataclasses.replace(
        SMALL, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2, **VARIANTS[variant]
    )
    cell, inputs = network(config), batch(config)
    seed, step = 7, 12

    def masks(site, shape, probability):
        keep = keep_mask(seed, step, site, int(np.prod(shape)), probability).reshape(shape)
        return keep / (1 - probability)

    cell.set_train(True)
    got = cell(*tensors(inputs), ms.Tensor([seed, step], ms.int32))[0].asnumpy()
    expected, _ = encode(config, weights_of(cell), *inputs, masks)
    np.testing.assert_allclose(got, expected[-1], atol=1e-5)
    without, _ = encode(config, weights_of(cell), *inputs, no_dropout)
    assert np.abs(got - without[-1]).max() > 0.1  # the masks did something
    cell.set_train(False)
    np.testing.assert_allclose(cell(*tensors(inputs))[0].asnumpy(), without[-1], atol=1e-5)


def test_dropout_masks_differ_by_step_and_are_the_same_for_the_same_step(graph_mode):
    cell, inputs = network(SMALL), tensors(batch(SMALL))
    cell.set_train(True)
    one, two, again = (cell(*inputs, ms.Tensor([5, step], ms.int32))[0].asnumpy() for step in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.allclose(one, two, atol=1e-3)


def test_padding_does_not_change_logits(graph_mode):
    cell, (ids, mask, types) = network(SMALL, "question-answering"), batch(SMALL)
    start, end = cell(*tensors([ids, mask, types]))
    shorter = cell(*tensors([ids[1:2, :7], mask[1:2, :7], types[1:2, :7]]))
    np.testing.assert_allclose(start.asnumpy()[1, :7], shorter[0].asnumpy()[0], atol=1e-5)
    np.testing.assert_allclose(end.asnumpy()[1, :7], shorter[1].asnumpy()[0], atol=1e-5)


def test_mask_and_token_types_default_to_ones_and_zeros(graph_mode):
    cell, (ids, _, _) = network(SMALL), batch(SMALL)
    got = cell(ms.Tensor(ids))[0].asnumpy()
    expected = cell(*tensors([ids, np.ones_like(ids), np.zeros_like(ids)]))[0].asnumpy()
    np.testing.assert_array_equal(got, expected)


def test_one_mask_a_query_is_followed(graph_mode):
    cell, (ids, mask, types) = network(SMALL), batch(SMALL)
    each_query = np.repeat(mask[:, None, :], ids.shape[1], 1)
    got = cell(*tensors([ids, each_query, types]))[0].asnumpy()
    np.testing.assert_allclose(got, cell(*tensors([ids, mask, types]))[0].asnumpy(), atol=1e-5)


@pytest.mark.parametrize("variant", ["bert", "nezha_learned"])
def test_float16_stays_close_to_float32(variant, graph_mode):
    config = dataclasses.replace(SMALL, initializer_range=0.1, **VARIANTS[variant])
    inputs = tensors(batch(config))
    full, half = network(config)(*inputs)[0], network(config, dtype="float16")(*inputs)[0]
    assert half.dtype == ms.float16
    np.testing.assert_allclose(half.asnumpy(), full.asnumpy(), atol=1e-2)


def test_float16_parameters_stay_float32():
    assert {p.dtype for p in network(SMALL, "question-answering", dtype="float16").get_parameters()} == {ms.float32}


def test_parameter_names_are_the_checkpoint_format():
    config = dataclasses.replace(SMALL, num_hidden_layers=1, relative_position="learned", max_relative_position=4)
    both = ["weight", "bias"]
    layer = "bert.encoder.layers.0"
    expected = ["bert.embeddings.word_embeddings.weight", "bert.embeddings.token_type_embeddings.weight"]
    expected += [f"bert.embeddings.layer_norm.{part}" for part in both]
    expected += [f"{layer}.attention.{name}.{part}" for name in ("query", "key", "value") for part in both]
    expected += [f"{layer}.attention.relative_positions.weight"]
    expected += [f"{layer}.attention.{name}.{part}" for name in ("output", "layer_norm") for part in both]
    expected += [
        f"{layer}.feed_forward.{name}.{part}" for name in ("intermediate", "output", "layer_norm") for part in both
    ]
    expected += [f"qa_outputs.{part}" for part in both]
    cell = build(config, "question-answering")
    assert [p.name for p in cell.get_parameters()] == expected
    assert [p.name for p in WithLoss(cell).get_parameters()] == expected  # wrapping does not rename


def test_the_padding_row_gets_no_gradient_unless_the_config_lets_it_learn(graph_mode):
    inputs = tensors([*batch(SMALL), np.array([1, 2, 3], np.int32), np.array([2, 4, 99], np.int32)])
    for padding_id, learns in ((0, False), (None, True)):
        cell = WithLoss(network(dataclasses.replace(SMALL, pad_token_id=padding_id), "question-answering"))
        table = cell.network.bert.embeddings.word_embeddings.weight
        gradient = ms.grad(cell, None, table)(*inputs).asnumpy()
        assert (np.abs(gradient[0]).max() > 0) == learns
        assert np.abs(gradient).max() > 0


def test_span_loss_ignores_positions_outside_the_window_and_counts_negative_ones_as_zero(graph_mode):
    cell, inputs = network(SMALL, "question-answering"), batch(SMALL)
    start, end = (logits.asnumpy().astype(np.float64) for logits in cell(*tensors(inputs)))

    def nll(logits, row, position):
        return np.log(np.exp(logits[row]).sum()) - logits[row, position]

    labels = [np.array([2, -3, 11], np.int32), np.array([99, 4, 10], np.int32)]
    expected = ((nll(start, 0, 2) + nll(start, 1, 0)) / 2 + (nll(end, 1, 4) + nll(end, 2, 10)) / 2) / 2
    got = WithLoss(cell)(*tensors([*inputs, *labels]))
    np.testing.assert_allclose(float(got.asnumpy()), expected, rtol=1e-6)
    nothing = [np.full(3, 11, np.int32)] * 2
    assert float(WithLoss(cell)(*tensors([*inputs, *nothing])).asnumpy()) == 0.0


def test_nezha_reads_sequences_longer_than_max_position_embeddings(graph_mode):
    config = dataclasses.replace(SMALL, relative_position="sinusoid")
    inputs = batch(config, S=30)
    assert network(config)(*tensors(inputs))[0].shape == (3, 30, 24)


@pytest.mark.parametrize("which", [1, 2])
def test_inputs_of_different_lengths_are_refused(pynative_mode, which):
    """Native operators would read beyond the shorter one."""
    inputs = list(tensors(batch(SMALL)))
    inputs[which] = inputs[which][:, :-1]
    with pytest.raises(ValueError, match="do not have the shape of input_ids"):
        network(SMALL)(*inputs)


def test_a_sequence_longer_than_the_position_table_is_refused(pynative_mode):
    with pytest.raises(ValueError, match="longer than max_position_embeddings 20"):
        network(SMALL)(*tensors(batch(SMALL, S=30)))


def test_initial_weights_are_a_normal_cut_off_at_two_deviations():
    weight = build(dataclasses.replace(SMALL, vocab_size=2000), "encoder").embeddings.word_embeddings.weight.asnumpy()
    assert 0.59 < np.abs(weight).max() <= 0.6
    assert weight.std() == pytest.approx(0.88 * 0.3, rel=0.01)  # 0.88: what the cut leaves of the deviation


def test_wrong_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown task 'question-answer': did you mean 'question-answering'"):
        build(SMALL, "question-answer")
    with pytest.raises(ConfigError, match="unknown dtype 'float8'"):
        build(SMALL, "encoder", dtype="float8")
    with pytest.raises(ConfigError, match="unknown output 'attention': did you mean 'attentions'"):
        build(SMALL, "encoder").set_outputs("attention")
    with pytest.raises(ConfigError, match="BertModel has no loss: give a network with a head"):
        WithLoss(build(SMALL, "encoder"))
