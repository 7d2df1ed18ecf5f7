"""The adversarial step on the word embeddings: its length, its direction, and what it leaves behind (nothing)."""

from __future__ import annotations

import dataclasses

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor, nn

from bert_ms.config import (
    BertConfig,
    OptimizerConfig,
    RegularizationConfig,
    RunConfig,
    ScheduleConfig,
    TrainingConfig,
)
from bert_ms.errors import ConfigError
from bert_ms.model import WithLoss, build
from bert_ms.training.gradients import AdversarialGradients, Gradients, word_lookup
from bert_ms.training.groups import parameter_groups
from bert_ms.training.optimizers import build_optimizer
from bert_ms.training.step import TrainStep
from bert_ms.training.updater import Updater

EPSILON = 0.5
CONFIG = BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16,
)  # fmt: skip


def network(dropout: float = 0.1) -> WithLoss:
    """The same weights at each call, in training mode."""
    ms.set_seed(3)
    config = dataclasses.replace(CONFIG, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    return WithLoss(build(config, "sequence-classification", num_labels=3)).set_train()


def arguments() -> tuple[Tensor, ...]:
    """Scale, dropout key, a batch with padding, labels."""
    rng = np.random.default_rng(5)
    ids, mask = rng.integers(1, CONFIG.vocab_size, (4, 8)), np.ones((4, 8), np.int64)
    ids[1, 5:], mask[1, 5:] = 0, 0
    batch = [ids, mask, np.zeros_like(ids), np.array([0, 2, 1, 1])]
    return Tensor(1.0, ms.float32), Tensor(np.array([42, 7], np.int32)), *(Tensor(a.astype(np.int32)) for a in batch)


def differentiate(minimised: WithLoss, *, epsilon: float = 0.0, scale: float | None = None) -> tuple:
    """The Cell, the loss it gives and its gradients by name."""
    parameters = ParameterTuple(minimised.trainable_params())
    options = {"has_scale": scale is not None, "has_dropout_key": True}
    kind = AdversarialGradients if epsilon else Gradients
    cell = kind(minimised, parameters, **({"epsilon": epsilon} if epsilon else {}), **options).set_train()
    first, *rest = arguments()
    loss, gradients = cell(first if scale is None else Tensor(scale, ms.float32), *rest)
    return cell, float(loss), {p.name: g.asnumpy() for p, g in zip(parameters, gradients, strict=True)}


def test_the_step_follows_the_gradient_and_both_passes_are_added_with_and_without_a_loss_scale(graph_mode):
    plain = network()
    table = word_lookup(plain).weight
    cell, loss, first = differentiate(plain)
    step = first[table.name] * (EPSILON / np.linalg.norm(first[table.name]))
    table.set_data(Tensor(table.asnumpy() + step))
    second = dict(zip(first, (g.asnumpy() for g in cell(*arguments())[1]), strict=True))
    adversarial = network()
    before = {p.name: p.asnumpy().copy() for p in adversarial.get_parameters()}
    cell, reported, both = differentiate(adversarial, epsilon=EPSILON)
    assert reported == loss
    shift = cell.shift.asnumpy()
    assert np.linalg.norm(shift) == pytest.approx(EPSILON, rel=1e-6)
    np.testing.assert_allclose(shift, step, atol=1e-7)
    assert both.keys() == first.keys()  # the shift is no parameter of the network
    scaled_cell, scaled_loss, scaled = differentiate(network(), epsilon=EPSILON, scale=1024.0)
    assert scaled_loss == loss
    np.testing.assert_allclose(scaled_cell.shift.asnumpy(), shift, atol=1e-8)
    size = max(np.abs(gradient).max() for gradient in first.values())
    for name, gradient in both.items():
        np.testing.assert_allclose(gradient, first[name] + second[name], atol=1e-6 * size, err_msg=name)
        np.testing.assert_allclose(scaled[name] / 1024, gradient, atol=1e-6 * size, err_msg=name)
    assert {p.name for p in adversarial.get_parameters()} == before.keys()
    for parameter in adversarial.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])


def test_a_step_at_rate_nought_leaves_weights_and_evaluation_bit_for_bit(graph_mode):
    minimised = network()
    inputs, logits = arguments()[2:5], None
    logits = minimised.network.set_train(False)(*inputs).asnumpy()
    config = OptimizerConfig(weight_decay=0.0, freeze=("bert.embeddings.*",))
    parameters = {p.name: p for p in minimised.trainable_params()}
    before = {name: p.asnumpy().copy() for name, p in parameters.items()}
    optimizer = build_optimizer(parameters, parameter_groups(list(parameters), config), config, native=False)
    step = TrainStep(minimised, optimizer, fgm_epsilon=EPSILON).set_train()
    scale, key, *batch = arguments()
    for update in (1, 2):
        _, norm, _ = step(Tensor(True), key, scale, Tensor(optimizer.numbers(0.0, update)), *batch)
        assert float(norm) > 0
    for name, parameter in parameters.items():
        np.testing.assert_array_equal(parameter.asnumpy(), before[name])
    minimised.set_train(False)
    minimised.network.compile_cache.clear()
    np.testing.assert_array_equal(minimised.network(*inputs).asnumpy(), logits)


def test_an_update_moves_the_weights_by_the_sum_of_both_gradients(graph_mode):
    """AdamW's own arithmetic is tested elsewhere: here it must meet the network's weights, not copies of them."""
    _, _, gradients = differentiate(network(dropout=0.0), epsilon=EPSILON)
    for accumulate in (1, 2):
        assert_weights_move_by(gradients, accumulate)


def assert_weights_move_by(gradients: dict[str, np.ndarray], accumulate: int) -> None:
    minimised, rate, eps = network(dropout=0.0), 0.05, 1e-3
    before = {p.name: p.asnumpy().copy() for p in minimised.trainable_params()}
    run = RunConfig(
        optimizer=OptimizerConfig(learning_rate=rate, weight_decay=0.0, max_grad_norm=None, eps=eps),
        regularization=RegularizationConfig(fgm_epsilon=EPSILON),
        schedule=ScheduleConfig(name="constant", warmup_steps=0),
        training=TrainingConfig(accumulate=accumulate),
    )
    updater = Updater(minimised, run, total_steps=10)
    batch = [array.asnumpy() for array in arguments()[2:]]
    updater.update(0, [batch] * accumulate)
    for parameter in minimised.trainable_params():
        gradient = gradients[parameter.name]
        expected = before[parameter.name] - rate * gradient / (np.abs(gradient) + eps)  # Adam's first step
        np.testing.assert_allclose(parameter.asnumpy(), expected, atol=1e-5, err_msg=parameter.name)


def test_a_network_without_word_embeddings_is_refused(graph_mode):
    with pytest.raises(ConfigError, match="fgm_epsilon moves word embeddings, and Dense has 0 tables"):
        word_lookup(nn.Dense(2, 2))
