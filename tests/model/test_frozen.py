"""Gradients of frozen weights inside the fused layer: 0, and without effect on the others."""

from __future__ import annotations

import mindspore as ms
import numpy as np
import pytest
from mindspore import ParameterTuple, Tensor

from bert_ms import kernels
from bert_ms.config import BertConfig
from bert_ms.model import WithLoss, build
from bert_ms.model.frozen import spare_frozen_gradients

CONFIG = BertConfig(
    vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=16,
)  # fmt: skip


def gradients(frozen: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Of every parameter, with dropout; the same weights and masks at each call."""
    ms.set_seed(3)
    network = build(CONFIG, "question-answering").set_train()
    everything = ParameterTuple(network.trainable_params())
    spare_frozen_gradients(network, {p.name for p in everything if not any(map(p.name.endswith, frozen))})
    ids = np.random.default_rng(5).integers(1, CONFIG.vocab_size, (3, 8))
    batch = [ids, np.ones_like(ids), np.zeros_like(ids), np.array([1, 2, 3]), np.array([4, 2, 7]), np.array([42, 7])]
    found = ms.grad(WithLoss(network), None, everything)(*(Tensor(a.astype(np.int32)) for a in batch))
    return {p.name: g.asnumpy() for p, g in zip(everything, found, strict=True)}


def test_frozen_gradients_are_nought_and_the_others_as_they_were(graph_mode):
    if not kernels.enabled():
        pytest.skip("native operators are not used here: nothing is spared")
    frozen = ("query.weight", "key.bias", "attention.output.weight", "intermediate.weight", "feed_forward.output.bias")
    plain, spared = gradients(()), gradients(frozen)
    assert sum(name.endswith(frozen) for name in plain) == len(frozen)
    for name, gradient in plain.items():
        expected = np.zeros_like(gradient) if name.endswith(frozen) else gradient
        np.testing.assert_array_equal(spared[name], expected, err_msg=name)
