"""What is minimised: reshaped cross entropies, R-Drop, and which task may have what."""

from __future__ import annotations

import dataclasses
import logging

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from bert_ms import tasks
from bert_ms.config import BertConfig, LossConfig, ModelConfig, RegularizationConfig, RunConfig
from bert_ms.errors import ConfigError
from bert_ms.model import build
from bert_ms.model.losses import LabelLoss, MultiLabelLoss, RegressionLoss, SpanLoss
from bert_ms.training.label_loss import ShapedLabelLoss, balanced_weights
from bert_ms.training.objective import objective
from bert_ms.training.objective_check import objective_problems
from bert_ms.training.r_drop import RDrop
from tests.support import PACKAGED_DATA

GOLDEN = np.load(PACKAGED_DATA / "training" / "objectives.npz")
TINY = BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
# name -> smoothing, gamma, whether classes have weights; see make_objectives.py
SHAPES = {
    "plain": (0.0, 0.0, False), "weighted": (0.0, 0.0, True), "smoothed": (0.1, 0.0, False),
    "weighted_smoothed": (0.1, 0.0, True), "focal": (0.0, 2.0, False), "focal_half": (0.0, 0.5, False),
    "all": (0.1, 2.0, True),
}  # fmt: skip


class Given(nn.Cell):
    """Outputs that are parameters: first those of the first pass, then those of the second."""

    def __init__(self, *arrays: np.ndarray, width: int = 4):
        super().__init__()
        self.arrays = ms.ParameterTuple([Parameter(Tensor(a), name=f"given{k}") for k, a in enumerate(arrays)])
        self.width = width

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor | tuple:
        first = ops.concat((self.arrays[0], self.arrays[1]), 0)[:, : self.width]
        return first if len(self.arrays) == 2 else (first, ops.concat((self.arrays[2], self.arrays[3]), 0))


class Minimised(nn.Cell):
    """As `WithLoss`, for any network and loss."""

    def __init__(self, network: nn.Cell, loss: nn.Cell, labels: int = 1):
        super().__init__(auto_prefix=False)
        self.network, self.loss, self.labels = network, loss, labels


def assert_golden(name: str, loss: Tensor, *gradients: Tensor) -> None:
    np.testing.assert_allclose(loss.asnumpy(), GOLDEN[f"{name}_loss"], rtol=1e-5)
    for k, gradient in enumerate(gradients):
        expected = GOLDEN[f"{name}_gradient{k}"]
        np.testing.assert_allclose(gradient.asnumpy(), expected, atol=1e-5 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("name", SHAPES)
def test_a_reshaped_cross_entropy_is_pytorchs(graph_mode, name):
    smoothing, gamma, is_weighted = SHAPES[name]
    loss = ShapedLabelLoss(smoothing=smoothing, gamma=gamma, weights=GOLDEN["weight"] if is_weighted else None)
    assert_golden(name, *ms.value_and_grad(loss)(Tensor(GOLDEN["logits"]), Tensor(GOLDEN["labels"])))


def test_a_focal_loss_of_certain_predictions_has_a_finite_gradient(graph_mode):
    logits = Tensor(np.array([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], np.float32))
    loss, gradient = ms.value_and_grad(ShapedLabelLoss(gamma=0.5))(logits, Tensor(np.array([0, 2], np.int32)))
    assert float(loss) == pytest.approx(100, rel=1e-5)
    assert np.isfinite(gradient.asnumpy()).all()
    assert np.abs(gradient.asnumpy()[0]).max() < 1e-6


def test_where_no_label_counts_the_loss_is_zero(graph_mode):
    labels = Tensor(np.full(9, -100, np.int32))
    loss, gradient = ms.value_and_grad(ShapedLabelLoss(smoothing=0.1))(Tensor(GOLDEN["logits"]), labels)
    assert float(loss) == 0 and not gradient.asnumpy().any()


@pytest.mark.parametrize(
    ("name", "columns", "loss", "width"),
    [
        ("r_drop", ("logits", "other"), LabelLoss, 4),
        ("r_drop_spans", ("logits", "other", "ends", "other_ends"), SpanLoss, 4),
        ("r_drop_values", ("logits", "other"), RegressionLoss, 1),
        ("r_drop_several", ("logits", "other"), MultiLabelLoss, 4),
    ],
)
def test_r_drop_is_the_papers_loss(graph_mode, name, columns, loss, width):
    labels = {
        "r_drop": (GOLDEN["labels"],),
        "r_drop_spans": (GOLDEN["positions"],) * 2,
        "r_drop_values": (GOLDEN["weight"][GOLDEN["positions"]],),
        "r_drop_several": ((GOLDEN["logits"][:, ::-1] > 0).astype(np.float32),),
    }[name]
    network = Given(*(GOLDEN[column] for column in columns), width=width)
    cell = RDrop(Minimised(network, loss(), len(labels)), float(GOLDEN["alpha"]))
    inputs = [Tensor(np.zeros((9, 4), np.int32))] * 3
    value, gradients = ms.value_and_grad(cell, None, network.arrays)(*inputs, *map(Tensor, labels))
    assert_golden(name, value, *gradients)


def tiny_batch(rows: int = 3, length: int = 8) -> list[Tensor]:
    rng = np.random.default_rng(3)
    ids = rng.integers(1, TINY.vocab_size, (rows, length))
    return [Tensor(a.astype(np.int32)) for a in (ids, np.ones_like(ids), np.zeros_like(ids))]


def run_config(**values) -> RunConfig:
    return RunConfig(**{"task": "sequence-classification", **values})


def test_r_drop_without_dropout_is_the_plain_loss(graph_mode):
    network = build(TINY, "question-answering").set_train()
    batch = [*tiny_batch(), Tensor(np.array([1, 2, 8], np.int32)), Tensor(np.array([3, 2, 8], np.int32))]
    task = tasks.get("question-answering")
    runs = [
        run_config(task=task.name, regularization=RegularizationConfig(**values))
        for values in ({}, {"r_drop_alpha": 4.0})
    ]
    losses = [float(objective(network, task, run)(*batch)) for run in runs]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_the_second_pass_of_r_drop_has_other_masks_and_the_same_in_every_run(graph_mode):
    config = dataclasses.replace(TINY, hidden_dropout_prob=0.3)
    network = build(config, "sequence-classification").set_train()
    run = run_config(regularization=RegularizationConfig(r_drop_alpha=1.0))
    minimised = objective(network, tasks.get("sequence-classification"), run).set_train()
    key = Tensor(np.array([42, 7], np.int32))
    outputs = network(*(ops.concat((x, x), 0) for x in tiny_batch()), key).asnumpy()
    assert np.abs(outputs[:3] - outputs[3:]).max() > 1e-3
    labels = Tensor(np.array([0, 1, 1], np.int32))
    assert float(minimised(*tiny_batch(), labels, key)) == float(minimised(*tiny_batch(), labels, key))


def test_the_loss_is_reshaped_in_training_and_nowhere_else(graph_mode):
    network = build(TINY, "sequence-classification", num_labels=4)
    task, labels = tasks.get("sequence-classification"), Tensor(np.array([0, 3, 1], np.int32))
    weights = tuple(GOLDEN["weight"].tolist())
    run = run_config(loss=LossConfig(label_smoothing=0.1, focal_gamma=2.0, class_weights=weights))
    logits = network(*tiny_batch())
    shaped = ShapedLabelLoss(smoothing=0.1, gamma=2.0, weights=GOLDEN["weight"])(logits, labels)
    assert float(objective(network, task, run)(*tiny_batch(), labels)) == pytest.approx(float(shaped), rel=1e-6)
    plain = objective(network, task, run_config())(*tiny_batch(), labels)
    assert float(plain) == pytest.approx(float(LabelLoss()(logits, labels)), rel=1e-6)


def test_balanced_weights_count_every_class_the_same():
    labels = np.array([0, 0, 0, 2, -100, 2, 4], np.int32)
    np.testing.assert_allclose(balanced_weights(labels, 5), [6 / 9, 0, 1, 0, 2])


def test_balanced_weights_are_told_and_used(graph_mode, caplog):
    network = build(dataclasses.replace(TINY, num_labels=2, labels=("no", "yes")), "token-classification")
    run = run_config(task="token-classification", loss=LossConfig(class_weights="balanced"))
    task, seen = tasks.get("token-classification"), np.array([0, 0, 0, 1, -100], np.int32)
    with caplog.at_level(logging.INFO):
        minimised = objective(network, task, run, labels=seen)
    assert "class weights: no 0.6667, yes 2" in caplog.text
    np.testing.assert_allclose(minimised.loss.weights.asnumpy(), [[2 / 3, 2]])
    with pytest.raises(ConfigError, match="'balanced': that needs the labels"):
        objective(network, task, run)


def test_weights_are_as_many_as_labels(graph_mode):
    network = build(TINY, "sequence-classification", num_labels=3)
    run = run_config(loss=LossConfig(class_weights=(1.0, 2.0)))
    with pytest.raises(ConfigError, match="has 2 numbers, but there are 3 labels"):
        objective(network, tasks.get("sequence-classification"), run)


def test_a_regression_found_in_the_data_has_no_cross_entropy(graph_mode):
    network = build(TINY, "sequence-classification", num_labels=1)
    run = run_config(loss=LossConfig(label_smoothing=0.1))
    with pytest.raises(ConfigError, match=r"loss\.label_smoothing reshape .* of problem type regression has not"):
        objective(network, tasks.get("sequence-classification"), run)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"task": "question-answering", "loss": LossConfig(label_smoothing=0.1)},
         "loss.label_smoothing: task 'question-answering' has no class labels: leave it out."),
        ({"task": "token-classification", "model": ModelConfig(token_head="lstm_crf"),
          "loss": LossConfig(focal_gamma=2.0, class_weights=(1.0, 2.0))},
         "loss.focal_gamma, loss.class_weights: model.token_head 'lstm_crf' scores whole paths of labels: leave them"),
        ({"model": ModelConfig(problem_type="regression"), "loss": LossConfig(class_weights="balanced")},
         "loss.class_weights: model.problem_type 'regression' has another loss"),
        ({"task": "multiple-choice", "loss": LossConfig(class_weights="balanced")},
         "loss.class_weights: the choices of task 'multiple-choice' are each row's own"),
        ({"task": "masked-lm", "regularization": RegularizationConfig(r_drop_alpha=1.0)},
         "regularization.r_drop_alpha compares two outputs, and task 'masked-lm'"),
    ],
)  # fmt: skip
def test_what_a_task_cannot_give_is_refused_without_mindspore(values, expected):
    config = run_config(**values)
    (problem,) = objective_problems(config, tasks.get(config.task))
    assert expected in problem


@pytest.mark.parametrize(
    "name", ["sequence-classification", "token-classification", "multiple-choice", "next-sentence"]
)
def test_every_task_with_classes_takes_smoothing_and_focus(name):
    config = run_config(task=name, loss=LossConfig(label_smoothing=0.1, focal_gamma=2.0))
    assert not list(objective_problems(config, tasks.get(name)))


def test_weights_below_nought_or_all_nought_are_refused():
    for weights in ((-1.0, 2.0), (0.0, 0.0), ()):
        with pytest.raises(ConfigError, match="class_weights is .* expected numbers of at least 0"):
            LossConfig(class_weights=weights)
