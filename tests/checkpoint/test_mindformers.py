"""Mindformers' names, by files made here from its source: none that it wrote itself was at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.checkpoint import names
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import TINY, ckpt_value, tiny_arrays

TURNED = ("attention.projection.weight", "output.mapping.weight", "output.projection.weight")


def _as_mindformers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Named and turned as mindformers' converter from Hugging Face does it."""
    named = {found.name: arrays[ours] for ours, found in names.MINDFORMERS.names_of(arrays).items()}
    return {name: array.T.copy() if name.endswith(TURNED) else array for name, array in named.items()}


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    values = (ckpt_value(name, array.shape, "Float32", array.tobytes()) for name, array in arrays.items())
    path.write_bytes(b"".join(values))


def test_a_synthetic_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    arrays = tiny_arrays(head=True)
    written = _as_mindformers(arrays)
    assert written["bert.bert_encoder.encoder.blocks.1.output.mapping.weight"].shape == (8, 16)
    _write(tmp_path / "bert.ckpt", {**written, "adam_m.bert.dense.bias": np.zeros(8, np.float32)})
    TINY.save(tmp_path / "config.json")
    opened = checkpoint.open_checkpoint(tmp_path)
    assert (opened.origin, opened.task, opened.unknown) == ("mindformers", "question-answering", ())
    assert dict(opened.dropped) == {"optimiser state": ("adam_m.bert.dense.bias",)}
    for name, array in arrays.items():
        np.testing.assert_array_equal(opened.array(name), array)


def test_its_own_epsilon_and_gelu_are_taken_where_no_configuration_tells(tmp_path: Path) -> None:
    _write(tmp_path / "bert.ckpt", _as_mindformers(tiny_arrays()))
    with pytest.raises(CheckpointError, match="num_attention_heads cannot be told"):
        checkpoint.open_checkpoint(tmp_path)
    config = checkpoint.open_checkpoint(tmp_path, num_attention_heads=2).config
    assert (config.layer_norm_eps, config.hidden_act) == (1e-5, "gelu_tanh")


def test_names_of_heads_go_there_and_back() -> None:
    ours = [*tiny_arrays(), "predictions.bias", "predictions.transform.dense.weight", "seq_relationship.weight"]
    written = names.MINDFORMERS.names_of(ours)
    assert written["predictions.bias"].name == "mlmloss.output_bias"
    back = names.translate([found.name for found in written.values()], file="f")
    assert back.table is names.MINDFORMERS
    assert list(back.found) == ours
    assert back.unknown == ()
