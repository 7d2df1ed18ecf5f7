"""Loading into a network: strict, all or nothing, and reported."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import TINY, tiny_arrays, write_safetensors, write_tiny

model = pytest.importorskip("bert_ms.model")

QUERY = "encoder.layers.1.attention.query.weight"
HF_QUERY = "encoder.layer.1.attention.self.query.weight"


def _values(cell: object) -> dict[str, np.ndarray]:
    return {name: p.asnumpy().copy() for name, p in cell.parameters_and_names()}  # type: ignore[attr-defined]


def test_every_parameter_gets_the_files_values(tmp_path: Path) -> None:
    cell = model.build(TINY, "encoder")
    report = checkpoint.load_into(cell, write_tiny(tmp_path / "m"))
    expected = tiny_arrays()
    assert report.is_complete
    assert set(report.matched) == set(expected) == set(_values(cell))
    for name, value in _values(cell).items():
        np.testing.assert_array_equal(value, expected[name])


def test_a_missing_tensor_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    cell = model.build(TINY, "encoder")
    before = _values(cell)
    source = write_tiny(tmp_path / "m", drop=[QUERY, "pooler.dense.bias"])
    with pytest.raises(CheckpointError, match=rf"missing in the file: {QUERY}, pooler\.dense\.bias\n"):
        checkpoint.load_into(cell, source)
    for name, value in _values(cell).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_missing_tensor_may_be_allowed_and_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cell = model.build(TINY, "encoder")
    before = _values(cell)
    source = write_tiny(tmp_path / "m", drop=["pooler.dense.bias"])
    with caplog.at_level(logging.WARNING):
        report = checkpoint.load_into(cell, source, allow_missing=["pooler.*"])
    assert report.initialised == ("pooler.dense.bias",)
    assert "pooler.dense.weight" in report.matched
    assert [r.getMessage() for r in caplog.records] == [
        "newly initialised, to be trained before use: pooler.dense.bias"
    ]
    np.testing.assert_array_equal(_values(cell)["pooler.dense.bias"], before["pooler.dense.bias"])


def _with_extra(tmp_path: Path) -> Path:
    directory = write_tiny(tmp_path / "m")
    arrays = dict(checkpoint.read(directory))
    write_safetensors(directory / "model.safetensors", {**arrays, "bert.adapter.weight": np.ones(3, np.float32)})
    return directory


def test_an_unexplained_tensor_is_an_error_unless_allowed(tmp_path: Path) -> None:
    source = _with_extra(tmp_path)
    with pytest.raises(CheckpointError, match=r"unused tensors of the file: bert\.adapter\.weight\n.*allow_unused="):
        checkpoint.load_into(model.build(TINY, "encoder"), source)
    assert checkpoint.load_into(model.build(TINY, "encoder"), source, allow_unused=["*adapter*"]).unused == ()


def test_a_wrong_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path / "m")
    arrays = dict(checkpoint.read(directory))
    write_safetensors(directory / "model.safetensors", {**arrays, HF_QUERY: np.ones((8, 4), np.float32)})
    with pytest.raises(CheckpointError, match=rf"of another shape: {QUERY} \(network \[8, 8\], file \[8, 4\]\)"):
        checkpoint.load_into(model.build(TINY, "encoder"), directory)


def test_a_new_head_is_initialised_without_asking(tmp_path: Path) -> None:
    cell = model.build(dataclasses.replace(TINY, add_pooler=False), "question-answering")
    report = checkpoint.load_into(cell, write_tiny(tmp_path / "m"))
    assert report.initialised == ("qa_outputs.weight", "qa_outputs.bias")
    assert report.dropped == {
        "pooler, which this network has not": ("pooler.dense.weight", "pooler.dense.bias"),
    }


def test_half_a_head_is_missing_the_other_half(tmp_path: Path) -> None:
    cell = model.build(TINY, "question-answering")
    source = write_tiny(tmp_path / "m", head=True, drop=["qa_outputs.bias"])
    with pytest.raises(CheckpointError, match=r"missing in the file: qa_outputs\.bias"):
        checkpoint.load_into(cell, source)


def test_another_tasks_head_is_left_out_and_said(tmp_path: Path) -> None:
    report = checkpoint.load_into(model.build(TINY, "encoder"), write_tiny(tmp_path / "m", head=True))
    assert report.dropped == {"head of another task": ("qa_outputs.weight", "qa_outputs.bias")}
    assert "dropped, head of another task: 2 (qa_outputs.weight, qa_outputs.bias)" in report.summary()


def test_a_head_may_be_started_anew(tmp_path: Path) -> None:
    cell = model.build(TINY, "question-answering")
    before = _values(cell)
    report = checkpoint.load_into(cell, write_tiny(tmp_path / "m", head=True), initialise=["qa_outputs.*"])
    assert report.initialised == ("qa_outputs.weight", "qa_outputs.bias")
    np.testing.assert_array_equal(_values(cell)["qa_outputs.weight"], before["qa_outputs.weight"])


def test_patterns_mean_our_names_with_or_without_the_encoders_prefix(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "m", head=True, drop=[QUERY])
    for pattern in (QUERY, f"bert.{QUERY}", "bert.encoder.layers.1.*"):
        cell = model.build(TINY, "question-answering")
        assert checkpoint.load_into(cell, source, allow_missing=[pattern]).initialised == (QUERY,)


def test_a_long_report_shows_a_few_names_and_counts_the_rest() -> None:
    report = checkpoint.LoadReport("f", "safetensors", "Hugging Face", missing=tuple(f"p{i}" for i in range(99)))
    assert report.summary().endswith("missing in the file: p0, p1, p2, p3, p4, p5, and 93 more")


def test_loaded_parameters_outlive_their_file(tmp_path: Path) -> None:
    cell = model.build(TINY, "encoder")
    source = write_tiny(tmp_path / "m")
    checkpoint.load_into(cell, source)
    (source / "model.safetensors").write_bytes(b"")
    np.testing.assert_array_equal(_values(cell)[QUERY], tiny_arrays()[QUERY])
