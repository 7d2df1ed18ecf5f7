"""MINDIR graphs give what the Cell gives, in buckets, from any place, without native operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bert_ms import compat, kernels
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, DeviceError
from bert_ms.export.folder import ExportRecord, stored_files
from bert_ms.export.interface import outputs_of
from bert_ms.export.mindir import MindirGraphs, check_device, file_name, write_graphs
from bert_ms.model import build

ROWS, TOKENS = 2, 24
CONFIG = BertConfig(
    vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
    max_position_embeddings=32, initializer_range=0.3,
)  # fmt: skip


def batch(rows: int, width: int, *, longest: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    lengths = rng.integers(4, longest + 1, rows)
    lengths[0] = longest
    mask = (np.arange(width) < lengths[:, None]).astype(np.int32)
    return [
        rng.integers(5, 60, (rows, width), np.int32) * mask,
        mask,
        rng.integers(0, 2, (rows, width), np.int32) * mask,
    ]


def exported(folder: Path, task: str) -> tuple[MindirGraphs, object]:
    """A folder of one graph, and a Cell of the same weights as pipelines run it."""
    ms = compat.mindspore()
    ms.set_seed(7)
    with kernels.disabled():
        plain = build(CONFIG, task)
        write_graphs(plain, folder, format="mindir", task=task, buckets=[(ROWS, TOKENS)])
    cell = build(CONFIG, task)
    for name, parameter in plain.parameters_and_names():
        dict(cell.parameters_and_names())[name].set_data(parameter)
    outputs, row_outputs = outputs_of(task, CONFIG)
    record = ExportRecord(
        format="mindir", task=task, inputs=("input_ids", "attention_mask", "token_type_ids"), outputs=outputs,
        row_outputs=row_outputs, buckets=((ROWS, TOKENS),), files=stored_files(folder), source={}, created="",
    )  # fmt: skip
    return MindirGraphs(folder, record), cell


def test_a_graph_gives_what_the_cell_gives_for_any_batch_that_fits(tmp_path: Path, graph_mode: None) -> None:
    folder = tmp_path / "a place with blanks, and ümlauts"
    folder.mkdir()
    graphs, cell = exported(folder, "question-answering")
    ms = compat.mindspore()
    arrays = batch(2 * ROWS + 1, TOKENS + 6, longest=TOKENS)
    found = graphs.run(arrays)
    expected = [output.asnumpy() for output in cell(*map(ms.Tensor, arrays))]  # type: ignore[operator]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape == (2 * ROWS + 1, TOKENS + 6)
        np.testing.assert_allclose(ours[arrays[1] > 0], theirs[arrays[1] > 0], atol=1e-5)
        assert np.abs(theirs).max() > 0.1
    with pytest.raises(CheckpointError, match=f"a row has {TOKENS + 1} tokens, and the longest bucket"):
        graphs.run(batch(1, TOKENS + 1, longest=TOKENS + 1))
    text = (folder / file_name((ROWS, TOKENS), "mindir")).read_bytes()
    assert b"Custom" not in text, "a native operator, which is a library of this machine, is in the file"


def test_large_networks_keep_their_weights_beside_the_graph(
    tmp_path: Path, graph_mode: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mindspore.train import serialization

    monkeypatch.setattr(serialization, "TOTAL_SAVE", 1)  # of kilobytes, where MindSpore has a million
    graphs, cell = exported(tmp_path, "multiple-choice")
    assert sorted(graphs.record.files) == ["model_2x24_graph.mindir", "model_2x24_variables/data_0"]
    ms = compat.mindspore()
    arrays = [array.reshape(3, 2, TOKENS) for array in batch(6, TOKENS, longest=TOKENS)]
    (found,) = graphs.run(arrays)
    expected = cell(*map(ms.Tensor, arrays)).asnumpy()  # type: ignore[operator]
    assert found.shape == expected.shape == (3, 2)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_that_mindspore_cannot_read_is_named(tmp_path: Path, graph_mode: None) -> None:
    (tmp_path / "model_1x8.mindir").write_bytes(b"no graph")
    record = ExportRecord(
        format="mindir", task="encoder", inputs=(), outputs=("last_hidden_state",), buckets=((1, 8),), source={},
        files=stored_files(tmp_path), created="",
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"model_1x8.mindir cannot be read by MindSpore"):
        MindirGraphs(tmp_path, record).run(batch(1, 8, longest=8))


def test_air_needs_an_ascend() -> None:
    if "ascend" in compat.available_devices():
        pytest.skip("this machine has an Ascend")
    with pytest.raises(DeviceError, match="AIR is written by an Ascend only, and MindSpore .* finds cpu here"):
        check_device("air")
