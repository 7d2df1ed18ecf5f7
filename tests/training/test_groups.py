"""Parameters fall into the right groups, by name."""

from __future__ import annotations

import pytest

from bert_ms.config import OptimizerConfig
from bert_ms.errors import ConfigError
from bert_ms.training.groups import parameter_groups

NAMES = [
    "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.layer_norm.weight",
    "bert.encoder.layers.0.attention.query.weight",
    "bert.encoder.layers.0.attention.query.bias",
    "bert.encoder.layers.1.feed_forward.layer_norm.bias",
    "bert.encoder.layers.11.feed_forward.output.weight",
    "bert.pooler.dense.weight",
    "qa_outputs.weight",
    "qa_outputs.bias",
]


def by_name(**config) -> dict[str, tuple[float, bool]]:
    groups = parameter_groups(NAMES, OptimizerConfig(**config))
    return {name: (group.factor, group.has_decay) for group in groups for name in group.names}


def test_every_parameter_is_in_one_group():
    groups = parameter_groups(NAMES, OptimizerConfig())
    assert sorted(name for group in groups for name in group.names) == sorted(NAMES)
    assert len(groups) == 2


def test_layer_norm_and_bias_have_no_decay():
    decays = {name: has_decay for name, (_, has_decay) in by_name().items()}
    assert [name for name in NAMES if not decays[name]] == [NAMES[1], NAMES[3], NAMES[4], NAMES[8]]


def test_layer_decay_counts_down_from_the_head():
    factors = {name: factor for name, (factor, _) in by_name(layer_decay=0.5).items()}
    assert [factors[name] for name in NAMES] == [
        0.5**13, 0.5**13, 0.5**12, 0.5**12, 0.5**11, 0.5, 1.0, 1.0, 1.0,
    ]  # fmt: skip


def test_frozen_parameters_are_in_no_group():
    assert set(by_name(freeze=("bert.embeddings.*", "*.layers.0.*"))) == set(NAMES[4:])


def test_a_pattern_that_matches_nothing_names_the_nearest_parameter():
    with pytest.raises(
        ConfigError, match=r"'bert.embedding.word\*' matches none of the 9 parameters.*bert.embeddings.word"
    ):
        by_name(freeze=("bert.embedding.word*",))


def test_all_patterns_that_match_nothing_are_named():
    with pytest.raises(ConfigError) as error:
        by_name(freeze=("nothing.here", "pooler.*"))
    assert len(error.value.problems) == 2


def test_freezing_everything_is_an_error():
    with pytest.raises(ConfigError, match="freezes all 9 parameters"):
        by_name(freeze=("*",))
