"""Reading the two file formats, against the libraries that define them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.checkpoint import readers
from bert_ms.checkpoint.weights import entry_in_file
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import ckpt_value, message, safetensors_bytes, tensor, tiny_arrays, write_safetensors
from tests.support import golden

SAFETENSORS = ("hf_bert_model", "hf_bert_model_f16", "hf_nezha_qa")
CKPT = ("modelzoo_bert_model/bert.ckpt", "modelzoo_squad_train_adamw_lossscale/squad-1_2.ckpt")


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors_are_what_the_library_reads(name: str) -> None:
    from safetensors.numpy import load_file

    path = golden(name) / "model.safetensors"
    theirs = load_file(path)
    ours = checkpoint.read(path)
    assert set(ours) == set(theirs)
    assert len(ours) > 50
    for key, value in theirs.items():
        assert ours.shapes[key] == value.shape
        np.testing.assert_array_equal(ours[key], value.astype(np.float32))


@pytest.mark.parametrize("name", CKPT)
def test_ckpt_files_are_what_mindspore_reads(name: str) -> None:
    ms = pytest.importorskip("mindspore")
    theirs = ms.load_checkpoint(str(golden(name)))
    ours = checkpoint.read(golden(name))
    assert list(ours) == list(theirs)
    assert len(ours) > 50
    for key, value in theirs.items():
        assert ours[key].dtype == value.asnumpy().dtype
        np.testing.assert_array_equal(ours[key], value.asnumpy())


@pytest.mark.parametrize("with_crc", [False, True])
def test_every_kind_that_mindspore_saves_is_read(tmp_path: Path, with_crc: bool) -> None:
    ms = pytest.importorskip("mindspore")
    path = tmp_path / "all.ckpt"
    arrays = {
        "half": np.array([1.5, -2.0], np.float16),
        "double": np.array([[1.0], [2.0]], np.float64),
        "count": np.array([7], np.int32),
        "flag": np.array([True, False]),
        "scalar": np.array(3.0, np.float32),
        "big": np.arange(6, dtype=np.int64).reshape(1, 2, 3),
    }
    parameters = [{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()]
    brain = ms.Tensor([1.0, -0.5, 3.14159], ms.bfloat16)
    ms.save_checkpoint([*parameters, {"name": "brain", "data": brain}], str(path), crc_check=with_crc)
    weights = checkpoint.read(path)
    assert set(weights) == {*arrays, "brain"}
    for name, array in arrays.items():
        assert weights[name].shape == array.shape
        np.testing.assert_array_equal(weights[name], array)
    np.testing.assert_array_equal(weights["brain"], brain.astype(ms.float32).asnumpy())


def test_bfloat16_is_widened_without_loss(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.0e38, 1e-40, np.inf], np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    path = tmp_path / "w"
    path.write_bytes(safetensors_bytes({"x": tensor([5], 0, 10, "BF16")}, bits.tobytes()))
    np.testing.assert_array_equal(checkpoint.read(path)["x"], (bits.astype(np.uint32) << 16).view(np.float32))


def test_a_tensor_in_slices_is_joined(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(6, 2)
    parts = (array[:2], array[2:5], array[5:])
    path = tmp_path / "sliced.ckpt"
    path.write_bytes(
        ckpt_value("a", [1], "Int32", b"\1\0\0\0")
        + b"".join(ckpt_value("big", [6, 2], "Float32", part.tobytes()) for part in parts)
    )
    np.testing.assert_array_equal(checkpoint.read(path)["big"], array)


def test_packed_dimensions_unknown_fields_and_texts_are_read(tmp_path: Path) -> None:
    body = message((1, b"\x02\x03"), (2, b"Float32"), (9, 5), (3, bytes(24)))
    value = message((1, message((1, b"x"), (7, b"new"), (2, body))))
    text = ckpt_value("note", [5], "str", "zoo \N{SNOWMAN}".encode("utf-32-le"))
    path = tmp_path / "future.ckpt"
    path.write_bytes(value + text)
    weights = checkpoint.read(path)
    assert weights.shapes == {"x": (2, 3)}
    assert weights.texts == {"note": "zoo \N{SNOWMAN}"}


def test_a_flipped_bit_is_noticed_by_the_checksum(tmp_path: Path) -> None:
    content = ckpt_value("x", [4], "Float32", bytes(16))
    path = tmp_path / "sum.ckpt"
    path.write_bytes(content + b"crc_num" + zlib.crc32(content).to_bytes(10, "big"))
    assert checkpoint.read(path)["x"].sum() == 0
    damaged = bytearray(path.read_bytes())
    damaged[-25] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"sum\.ckpt is damaged: its content has the checksum"):
        checkpoint.read(path)


def test_the_format_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    named_wrongly = tmp_path / "model.ckpt"
    named_wrongly.write_bytes((golden("hf_bert_model") / "model.safetensors").read_bytes())
    assert readers.sniff(named_wrongly).name == "safetensors"
    named_wrongly.write_bytes(golden("modelzoo_bert_model/bert.ckpt").read_bytes())
    assert readers.sniff(named_wrongly).name == "MindSpore .ckpt"


def test_a_sharded_checkpoint_is_one(tmp_path: Path) -> None:
    directory = golden("hf_bert_mlm_sharded")
    weights = checkpoint.read(directory)
    assert len(weights.files) == 5
    assert len(weights) == 58
    assert weights["bert.embeddings.word_embeddings.weight"].shape == (120, 32)


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "w", tiny_arrays())
    weights = checkpoint.read(path)
    with path.open("rb+") as file:  # the last tensor's bytes go; the others stay readable
        file.truncate(path.stat().st_size - 4)
    first, *_, last = weights
    assert weights[first].size
    with pytest.raises(CheckpointError, match="ended while it was read"):
        weights[last]


def test_an_empty_tensor_of_impossible_sizes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(safetensors_bytes({"x": tensor([0, 2**61], 0, 0)}))
    with pytest.raises(CheckpointError, match=r"no tensor can have the shape \[0, 2305843009213693952\]"):
        checkpoint.read(path)["x"]


def test_an_unknown_tensor_name_suggests_the_nearest(tmp_path: Path) -> None:
    weights = checkpoint.read(write_safetensors(tmp_path / "w", {"pooler.dense.bias": np.zeros(1, np.float32)}))
    with pytest.raises(KeyError, match=r"did you mean 'pooler\.dense\.bias'"):
        weights["pooler.dense.biass"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX systems map files")
@pytest.mark.parametrize(("setting", "is_mapped"), [("on", True), ("off", False)])
def test_weights_are_mapped_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, is_mapped: bool
) -> None:
    monkeypatch.setenv("BERT_MS_MAP", setting)
    file = tmp_path / "weights.bin"
    file.write_bytes(np.arange(8, dtype="<f4").tobytes())
    array = entry_in_file(file, dtype="float32", shape=(4,), parts=((16, 16),)).read()
    assert array.tolist() == [4, 5, 6, 7]
    array[:] = 0  # which leaves the file as it is
    assert np.frombuffer(file.read_bytes(), "<f4").tolist() == list(range(8))
    file.write_bytes(np.ones(8, "<f4").tobytes())
    assert entry_in_file(file, dtype="float32", shape=(4,), parts=((16, 16),)).read().tolist() == [1, 1, 1, 1]
    assert isinstance(array.base if array.base is not None else array, np.memmap) is is_mapped
