"""Operators that are made on first use."""

from __future__ import annotations

import dataclasses

from bert_ms import kernels
from bert_ms.config import BertConfig
from bert_ms.model import build
from bert_ms.model.attention import SelfAttention
from bert_ms.model.layers import Dense

SMALL = BertConfig(
    vocab_size=11, hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=6,
    max_position_embeddings=8,
)  # fmt: skip


def test_a_network_is_built_without_its_operators_and_has_them_when_asked():
    layer = build(SMALL, "encoder").encoder.layers[0]
    before = {name for name, _ in layer.attention.cells_and_names()}
    assert "finish" not in before
    assert layer.attention.finish is layer.attention.finish
    assert "finish" in {name for name, _ in layer.attention.cells_and_names()}


def test_a_part_is_plain_if_its_cell_was_built_plain(native):
    with kernels.disabled():
        plain = Dense(2, 2, std=0.02)
    fast = Dense(2, 2, std=0.02)
    assert plain.linear.native is None
    with kernels.disabled():
        assert fast.linear.native is not None


def test_a_part_is_in_training_as_its_cell_is():
    attention = SelfAttention(SMALL, site=1).set_train(True)
    assert attention.finish.dropout.training
    assert not attention.set_train(False).finish.dropout.training


def test_making_parts_renames_no_parameter():
    config = dataclasses.replace(SMALL, position_embedding_type="relative_key")
    network = build(config, "encoder")
    before = {path: parameter.name for path, parameter in network.parameters_and_names()}
    assert network.encoder.layers[0].attention.composed.distances is not None
    assert {path: parameter.name for path, parameter in network.parameters_and_names()} == before
    assert all(path == name for path, name in before.items())
