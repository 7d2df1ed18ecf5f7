"""What we write as google's checkpoints is what TensorFlow writes, and reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from bert_ms.checkpoint import crc32c, tensorflow_writer, weights
from bert_ms.checkpoint.readers import sstable
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError
from tests.checkpoint.builders import TINY, tiny_arrays, write_tiny
from tests.support import golden

TF1 = "tf1"
INDEX, SHARD = "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with a head for questions, as TensorFlow has it."""
    root = tmp_path_factory.mktemp("tf1")
    source = write_tiny(root / "hf", dataclasses.replace(TINY, hidden_act="gelu_tanh"), head=True)
    (source / "vocab.txt").write_text("[PAD]\nword\n")
    bert_ms.convert(source, root / "out", format=TF1)
    return root / "out"


def test_the_checksum_is_the_one_of_rfc_3720() -> None:
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    assert crc32c.crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c.crc32c(b"") == 0


@pytest.mark.parametrize("size", [4097, 131_071, 131_072, 131_075, 131_076, 131_077, 262_144, 393_217])
def test_lanes_side_by_side_give_the_checksum_of_one_by_one(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    assert crc32c.crc32c(memoryview(data)) == crc32c._one_by_one(data)


@pytest.mark.parametrize("fixture", ["tf1_bert", "tf1_bert_squad"])
def test_a_checkpoint_of_tensorflow_comes_out_again_byte_for_byte(tmp_path: Path, fixture: str) -> None:
    source = golden(fixture)
    with_slots = checkpoint.open_checkpoint(source)
    assert bert_ms.convert(source, tmp_path / "out", format=TF1) == tmp_path / "out" / INDEX
    again = {name: (tmp_path / "out" / name).read_bytes() for name in (INDEX, SHARD, "checkpoint")}
    if not with_slots.dropped:
        assert again == {name: (source / name).read_bytes() for name in again}
    theirs = sstable.read_table(with_slots.source.weights)
    for name, entry in sstable.read_table(tmp_path / "out" / INDEX).items():
        assert _checksum(entry) == _checksum(theirs[name])
    google = json.loads((golden("tf1_bert") / "bert_config.json").read_text())
    assert json.loads((tmp_path / "out/bert_config.json").read_text()) == google


def _checksum(entry: bytes) -> bytes:
    """Type and shape at the beginning and the checksum at the end: all but the place in the file."""
    return entry[:4] + entry[-5:]


def test_a_directory_has_what_google_and_we_look_for(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == [
        "bert_config.json", SHARD, INDEX, "bert_ms.json", "checkpoint", "config.json", "vocab.txt",
    ]  # fmt: skip
    assert (written / "checkpoint").read_text().splitlines()[0] == 'model_checkpoint_path: "bert_model.ckpt"'
    names = set(checkpoint.read(written))
    assert {"bert/pooler/dense/kernel", "bert/encoder/layer_1/output/LayerNorm/gamma", "cls/squad/output_bias"} < names
    for config in (written, written / "bert_config.json"):
        settled = BertConfig.from_file(config)
        assert (settled.hidden_act, settled.layer_norm_eps, settled.num_hidden_layers) == ("gelu_tanh", 1e-12, 2)


def test_the_tensors_are_the_ones_that_were_given(written: Path) -> None:
    opened = checkpoint.open_checkpoint(written)
    assert (opened.task, opened.unknown, dict(opened.dropped)) == ("question-answering", (), {})
    for name, array in tiny_arrays(head=True).items():
        np.testing.assert_array_equal(opened.array(name), array)


def test_tensorflow_reads_what_was_written(written: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    reader = tensorflow.train.load_checkpoint(str(written))
    ours = checkpoint.read(written)
    assert reader.get_variable_to_shape_map() == {name: list(shape) for name, shape in ours.shapes.items()}
    for name, array in ours.items():
        np.testing.assert_array_equal(reader.get_tensor(name), array)


def test_a_prefix_may_be_named_as_tensorflow_names_it(tmp_path: Path, written: Path) -> None:
    prefix = tmp_path / "google" / "bert_model.ckpt"
    assert bert_ms.convert(written, prefix, format=TF1) == prefix.with_name(INDEX)
    assert sorted(path.name for path in prefix.parent.iterdir()) == [SHARD, INDEX, f"{INDEX}.json", "vocab.txt"]
    for path in (prefix, prefix.with_name(SHARD), prefix.parent):
        assert checkpoint.open_checkpoint(path).config == checkpoint.open_checkpoint(written).config
    with pytest.raises(CheckpointError, match=r"bert_model\.ckpt is the source itself"):
        bert_ms.convert(prefix, prefix, format=TF1)
    with pytest.raises(CheckpointError, match=r"is no name for 'tf1': name a directory, or a file name in \.ckpt\."):
        bert_ms.convert(prefix, tmp_path / "model.safetensors", format=TF1)
    assert not list(tmp_path.glob("model*"))


def test_an_index_of_many_blocks_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_writer, "BLOCK_BYTES", 300)
    pairs = {b"": b"header"} | {b"layer_%d/kernel" % i: bytes([i]) * i for i in range(200)} | {b"\xff": b"last"}
    tensorflow_writer.write_table(tmp_path / "t", pairs)
    assert sstable.read_table(tmp_path / "t") == pairs
    assert (tmp_path / "t").read_bytes().count(b"layer_") > 20


def test_half_precision_is_written_as_float32_and_scalars_keep_their_shape(tmp_path: Path) -> None:
    arrays = {"half": np.array([[0.5, -2]], np.float16), "step": np.array(7), "empty": np.ones((0, 3), np.float32)}
    entries = {name: weights.entry_in_memory(array) for name, array in arrays.items()}
    tensorflow_writer.write_bundle(tmp_path / "m.ckpt.index", entries)
    read = checkpoint.read(tmp_path / "m.ckpt")
    assert {name: (array.dtype.name, array.shape) for name, array in read.items()} == {
        "half": ("float32", (1, 2)), "step": ("int64", ()), "empty": ("float32", (0, 3)),
    }  # fmt: skip
    assert (read["half"] == arrays["half"]).all()
    assert read["step"] == 7


def test_a_flipped_bit_of_a_tensor_is_noticed(tmp_path: Path, written: Path) -> None:
    """By the manifest, and without it by the checksum that TensorFlow keeps."""
    for name in (INDEX, SHARD, "config.json"):
        (tmp_path / name).write_bytes((written / name).read_bytes())
    content = bytearray((tmp_path / SHARD).read_bytes())
    content[-1] ^= 1
    (tmp_path / SHARD).write_bytes(content)
    opened = checkpoint.open_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"00001 is damaged: 'cls/squad/output_weights' does not have its check"):
        opened.array("qa_outputs.weight")
    (tmp_path / "bert_ms.json").write_bytes((written / "bert_ms.json").read_bytes())
    with pytest.raises(CheckpointError, match=rf"{SHARD} is not what was saved: its sha256 differs"):
        checkpoint.open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"hidden_act": "gelu_tanh"}, None), ({"hidden_act": "gelu"}, "are for GELU by erf and 1e-12"),
     ({"hidden_act": "relu", "layer_norm_eps": 1e-7}, "are for relu and 1e-07")],
)  # fmt: skip
def test_what_googles_code_will_compute_otherwise_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict, said: str | None
) -> None:
    source = write_tiny(tmp_path / "m", dataclasses.replace(TINY, **change))
    bert_ms.convert(source, tmp_path / "out", format=TF1)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]
    assert checkpoint.open_checkpoint(tmp_path / "out").config.hidden_act == change["hidden_act"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"hidden_act": "silu"}, "google's code has no hidden_act 'silu'"),
        ({"position_embedding_type": "relative_key"}, "google's code has no position_embedding_type 'relative_key'"),
        ({"relative_position": "learned"}, "NEZHA in TensorFlow has sinusoids, no learned table"),
        (
            {"relative_position": "sinusoid", "max_relative_position": 8},
            "NEZHA in TensorFlow has a max_relative_position of 64, not 8",
        ),
    ],
)
def test_a_network_that_googles_code_has_not_is_refused(tmp_path: Path, change: dict, error: str) -> None:
    config = dataclasses.replace(TINY, **change)
    with pytest.raises(ConfigError, match=error):
        config.to_google()
    source = write_tiny(tmp_path / "m", config)
    with pytest.raises(CheckpointError, match=f"cannot be written as 'tf1': {error}"):
        bert_ms.convert(source, tmp_path / "out", format=TF1)
    assert not (tmp_path / "out").exists()


def test_nezha_with_sinusoids_says_so_in_huaweis_key(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "m", dataclasses.replace(TINY, relative_position="sinusoid"))
    bert_ms.convert(source, tmp_path / "out", format=TF1)
    google = json.loads((tmp_path / "out/bert_config.json").read_text())
    assert google["use_relative_position"] is True
    assert BertConfig.from_dict(google).relative_position == "sinusoid"
