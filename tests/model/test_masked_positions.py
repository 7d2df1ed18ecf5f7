"""Words decoded at the masked positions alone against logits for every position."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError

ms = pytest.importorskip("mindspore")

from bert_ms.model import WithLoss, build  # noqa: E402 - mindspore must be quiet first
from bert_ms.model.heads.masked_positions import MaskedPositionsLoss, MaskedPositionsScorer  # noqa: E402

B, S, V = 3, 9, 40
SMALL = BertConfig(
    vocab_size=V, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=12, initializer_range=0.3, hidden_dropout_prob=0.2,
)  # fmt: skip
POSITIONS = np.array([[2, 5, 7, 99], [0, 1, -3, -3], [0, 0, 0, 0]])  # filling may hold anything
LABELS = np.array([[7, 3, 39, -100], [11, 2, -100, -100], [-100] * 4])
FOLLOWS = np.array([1, -100, 0])
TASKS = pytest.mark.parametrize("task", ["masked-lm", "pretraining"])


def network(task: str, **changes: object):
    ms.set_seed(2)
    return build(dataclasses.replace(SMALL, **changes), task)


def inputs() -> list[np.ndarray]:
    mask = np.ones((B, S))
    mask[1, 6:] = 0
    types = np.broadcast_to(np.arange(S) >= 4, (B, S))
    return [array.astype(np.int32) for array in (np.random.default_rng(3).integers(1, V, (B, S)), mask, types)]


def everywhere() -> np.ndarray:
    """The labels of every position that POSITIONS and LABELS stand for."""
    labels = np.full((B, S), -100)
    for row, slot in zip(*np.nonzero(LABELS >= 0), strict=True):
        labels[row, POSITIONS[row, slot]] = LABELS[row, slot]
    return labels


def tensors(*arrays: np.ndarray) -> list:
    return [ms.Tensor(array.astype(np.int32)) for array in arrays]


def next_sentence(task: str) -> list[np.ndarray]:
    return [FOLLOWS] if task == "pretraining" else []


@pytest.mark.parametrize(("task", "is_tied"), [("masked-lm", False), ("pretraining", True)])
def test_loss_and_gradients_are_those_of_all_positions(task, is_tied, graph_mode):
    cell = network(task, tie_word_embeddings=is_tied)
    parameters, found = list(cell.get_parameters()), []
    for loss, labels in ((WithLoss(cell), [everywhere()]), (MaskedPositionsLoss(cell), [POSITIONS, LABELS])):
        batch = tensors(*inputs(), *labels, *next_sentence(task), np.array([7, 12]))  # the last is a dropout key
        found.append(ms.value_and_grad(loss.set_train(True), None, parameters)(*batch))
    (one, ones), (other, others) = found
    assert float(one) > 1
    assert float(other) == pytest.approx(float(one), rel=1e-6)
    for p, a, b in zip(parameters, ones, others, strict=True):
        np.testing.assert_allclose(b.asnumpy(), a.asnumpy(), atol=1e-6, err_msg=p.name)


@TASKS
def test_scores_of_a_row_are_those_of_its_logits(task, graph_mode):
    cell = network(task)
    outputs = cell(*tensors(*inputs()))
    words = (outputs if task == "masked-lm" else outputs[0]).asnumpy().astype(np.float64)
    best = words.argmax(-1)
    labels = LABELS.copy()
    labels[0, 1], labels[1, 0] = best[0, 5], best[1, 0]  # two that are right
    batch = tensors(*inputs(), POSITIONS, labels, *next_sentence(task))
    scores = [t.asnumpy() for t in MaskedPositionsScorer(cell)(*batch)]
    assert [s.dtype for s in scores] == [np.float32, np.int32, np.int32, np.float32, np.int32][: len(scores)]
    logs = words - np.log(np.exp(words).sum(-1, keepdims=True))
    slots = [[(POSITIONS[r, p], labels[r, p]) for p in range(4) if labels[r, p] >= 0] for r in range(B)]
    np.testing.assert_allclose(scores[0], [-sum(logs[r][at] for at in row) for r, row in enumerate(slots)], rtol=1e-5)
    expected = [sum(best[r, s] == word for s, word in row) for r, row in enumerate(slots)]
    np.testing.assert_array_equal(scores[1], expected)
    np.testing.assert_array_equal(scores[2], [3, 2, 0])
    if task == "pretraining":
        relation = outputs[1].asnumpy().astype(np.float64)
        logs = relation - np.log(np.exp(relation).sum(-1, keepdims=True))
        np.testing.assert_allclose(scores[3], [-logs[0, 1], 0, -logs[2, 0]], rtol=1e-5)
        np.testing.assert_array_equal(scores[4], [relation[0].argmax() == 1, 0, relation[2].argmax() == 0])
    assert len(scores) == (5 if task == "pretraining" else 3)


def test_a_network_without_masked_words_is_refused():
    with pytest.raises(ConfigError, match="CausalLM predicts no masked words: give a network of task masked-lm"):
        MaskedPositionsLoss(build(SMALL, "causal-lm", initialise=False))
