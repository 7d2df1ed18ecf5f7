"""TensorFlow's checkpoints and SavedModels, read without TensorFlow, whole and broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.checkpoint import architecture, names, tensorflow_files
from bert_ms.checkpoint.readers import sstable
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import (
    TINY,
    bundle_entry,
    message,
    object_graph,
    table_block,
    table_bytes,
    tiny_arrays,
    varint,
    write_bundle,
    write_tensorflow,
)
from tests.support import golden, shared_data

WORDS = "embeddings.word_embeddings.weight"
INDEX_ONLY = {
    "chinese_wwm_L-12_H-768": (207, (21128, 768), 12),
    "google_chinese_L-12_H-768": (206, (21128, 768), 12),
    "uncased_L-4_H-256_A-4": (78, (30522, 256), 4),
}


def _google_arrays(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """A tiny network as google-research saves it."""
    arrays = tiny_arrays(head=True)
    written = names.GOOGLE.names_of(arrays)
    named = {written[n].name: a.T.copy() if written[n].is_transposed else a for n, a in arrays.items()}
    return {**named, **changes}


def test_a_checkpoint_of_google_loads_as_it_was(tmp_path: Path) -> None:
    write_tensorflow(tmp_path, _google_arrays(global_step=np.float32(7)))
    TINY.save(tmp_path / "config.json")
    opened = checkpoint.open_checkpoint(tmp_path)
    assert opened.task == "question-answering"
    assert dict(opened.dropped) == {"optimiser state": ("global_step",)}
    for name, array in tiny_arrays(head=True).items():
        np.testing.assert_array_equal(opened.array(name), array)


@pytest.mark.parametrize("path", ["", "m.ckpt", "m.ckpt.index", "m.ckpt.data-00000-of-00001", "m.ckpt.meta"])
def test_every_way_to_name_a_checkpoint_means_the_same(tmp_path: Path, path: str) -> None:
    write_tensorflow(tmp_path, _google_arrays())
    assert len(checkpoint.read(tmp_path / path)) == 41


def test_kernels_are_turned_and_output_weights_are_not() -> None:
    found = names.translate(
        ["bert/embeddings/word_embeddings", "bert/pooler/dense/kernel", "cls/squad/output_weights"], file="f"
    ).found
    assert {ours: f.is_transposed for ours, f in found.items()} == {
        WORDS: False, "pooler.dense.weight": True, "qa_outputs.weight": False,
    }  # fmt: skip


@pytest.mark.parametrize("release", INDEX_ONLY)
def test_an_index_alone_tells_names_and_shapes_and_which_file_is_missing(release: str) -> None:
    folder = shared_data(f"weights/tf_index_only/{release}")
    weights = checkpoint.read(folder)
    tensors, table, layers = INDEX_ONLY[release]
    translation = names.translate(weights, file=release)
    assert (len(weights), weights.shapes["bert/embeddings/word_embeddings"]) == (tensors, table)
    assert translation.unknown == ()
    shapes = {ours: weights.shapes[found.name] for ours, found in translation.found.items()}
    assert architecture.observed(shapes)["num_hidden_layers"] == layers
    with pytest.raises(CheckpointError, match=rf"names {tensors} tensors, but the files with their numbers are not .*"
                       r"bert_model\.ckpt\.data-00000-of-00001\. Copy them beside it"):  # fmt: skip
        checkpoint.open_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"00001 is not there, and 'bert/pooler/dense/bias' is in it"):
        weights["bert/pooler/dense/bias"]


def test_a_published_checkpoint_loads_without_its_optimiser() -> None:
    opened = checkpoint.open_checkpoint(shared_data("weights/keras-bert-test_checkpoint"))
    assert (len(opened.entries), opened.unknown, opened.task) == (46, (), "pretraining")
    assert {why: len(of) for why, of in opened.dropped.items()} == {"optimiser state": 93}
    assert (opened.config.hidden_act, opened.config.layer_norm_eps) == ("gelu_tanh", 1e-12)


def test_a_saved_model_alone_tells_its_whole_architecture() -> None:
    opened = checkpoint.open_checkpoint(golden("tf2_savedmodel_expert") / "saved_model")
    own = BertConfig.from_file(golden("tf2_savedmodel_expert"))
    assert opened.config == BertConfig(**{**vars(own), "task": "masked-lm"})
    assert opened.file_names["encoder.layers.1.attention.query.weight"] == (
        "transformer/layer_1/self_attention/query/kernel"
    )


def test_the_latest_of_several_checkpoints_is_taken_by_the_file_that_says_so(tmp_path: Path) -> None:
    for step, value in ((10, 1.0), (20, 2.0)):
        write_tensorflow(tmp_path, {"x": np.full(2, value, np.float32)})
        for file in list(tmp_path.glob("m.ckpt.*")):
            file.rename(tmp_path / file.name.replace("m.ckpt", f"model.ckpt-{step}"))
    with pytest.raises(
        CheckpointError, match=r"several TensorFlow checkpoints \(model\.ckpt-10\.index, model\.ckpt-20"
    ):
        checkpoint.read(tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/away/model.ckpt-20"\n')
    assert checkpoint.read(tmp_path)["x"].max() == 2.0
    assert checkpoint.read(tmp_path / "model.ckpt-10")["x"].max() == 1.0


def test_heads_of_a_configuration_are_checked_against_the_axis_that_shows_them(tmp_path: Path) -> None:
    shutil.copytree(golden("tf2_savedmodel_expert") / "saved_model" / "variables", tmp_path / "variables")
    own = BertConfig.from_file(golden("tf2_savedmodel_expert"))
    BertConfig(**{**vars(own), "num_attention_heads": 8}).save(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match="num_attention_heads is 8 in the configuration, but 4 in the file"):
        checkpoint.open_checkpoint(tmp_path)


def test_a_training_checkpoint_goes_by_given_names_and_its_optimiser_is_dropped(tmp_path: Path) -> None:
    """As TensorFlow's model garden saves a pretrainer: the word table is a part of the masked-word head."""
    given = {
        "masked_lm/embedding_table": "word_embeddings/embeddings",
        "encoder/layer_with_weights-7/bias": "pooler_transform/bias",
        "masked_lm/embedding_table/.OPTIMIZER_SLOT/optimizer/m": "AdamWeightDecay/word_embeddings/embeddings/m",
        "optimizer/learning_rate": "learning_rate",
        "save_counter": "save_counter",
        "first/same": "twice",
        "second/same": "twice",
    }
    keys = {f"{key}/.ATTRIBUTES/VARIABLE_VALUE": name for key, name in given.items()}
    graph = object_graph(keys)
    entries = {key: bundle_entry([], 4) for key in keys}
    entries["_CHECKPOINTABLE_OBJECT_GRAPH"] = bundle_entry([], len(graph), dtype=7, offset=4)
    weights = checkpoint.read(write_bundle(tmp_path, entries, bytes(4) + graph))
    translation = names.translate(weights, file="f")
    assert {ours: found.name for ours, found in translation.found.items()} == {
        WORDS: "word_embeddings/embeddings",
        "pooler.dense.bias": "pooler_transform/bias",
    }
    assert translation.unknown == ("first/same", "second/same")
    assert {why: len(of) for why, of in translation.dropped.items()} == {
        "optimiser state": 2,
        "setting of the text preprocessing, or a counter": 1,
    }


def test_blocks_compressed_by_snappy_are_read(tmp_path: Path) -> None:
    array = np.zeros(40, np.float32)
    pairs = {b"": message((1, 1), (3, message((1, 1)))), b"x": bundle_entry([40], 160)}
    block = table_block(pairs)
    literal = varint(len(block) + 70) + bytes([(len(block) - 1) << 2]) + block  # then runs of its last bytes
    runs = bytes([63 << 2 | 2, 4, 0]) + bytes([2 << 2 | 1, 4])  # 64 and 6 bytes from 4 back
    assert len(block) < 60
    unpacked = sstable.unpacked(tmp_path, literal + runs)
    assert unpacked == block + (block[-4:] * 18)[:70]
    packed = varint(len(block)) + bytes([(len(block) - 1) << 2]) + block
    (tmp_path / "m.ckpt.index").write_bytes(table_bytes(packed, kind=1))
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(array.tobytes())
    np.testing.assert_array_equal(checkpoint.read(tmp_path)["x"], array)


def test_every_type_is_read(tmp_path: Path) -> None:
    arrays = {
        1: np.array([1.5], np.float32), 2: np.array([2.5]), 3: np.array([-3], np.int32), 4: np.array([4], np.uint8),
        5: np.array([-5], np.int16), 6: np.array([-6], np.int8), 9: np.array([2**40]), 10: np.array([True]),
        17: np.array([17], np.uint16), 19: np.array([0.5], np.float16), 22: np.array([22], np.uint32),
        23: np.array([2**63], np.uint64),
    }  # fmt: skip
    entries, data = {}, b""
    for dtype, array in arrays.items():
        entries[f"t{dtype}"] = bundle_entry([1], array.nbytes, dtype=dtype, offset=len(data))
        data += array.tobytes()
    entries["brain"] = bundle_entry([], 2, dtype=14, offset=len(data))
    weights = checkpoint.read(write_bundle(tmp_path, entries, data + b"\x80\x3f"))
    for dtype, array in arrays.items():
        np.testing.assert_array_equal(weights[f"t{dtype}"], array)
    assert weights["brain"] == 1.0
    assert weights["brain"].shape == ()


# name -> (entries of the index, text of the error)
ENTRIES: dict[str, tuple[dict[str, bytes], str]] = {
    "size lie": ({"x": bundle_entry([3], 8)}, r"'x' is float32 \[3\], which takes 12 bytes; the index says 8"),
    "size past the shard": (
        {"x": bundle_entry([4], 16)},
        r"m\.ckpt\.data-00000-of-00001 is cut: 'x' ends at byte 16, but",
    ),
    "offset past the shard": (
        {"x": bundle_entry([1], 4, offset=2**62)},
        r"is cut: 'x' ends at byte 4611686018427387908",
    ),
    "negative offset": (
        {"x": bundle_entry([1], 4, offset=2**64 - 1)},
        r"is cut: 'x' ends at byte 18446744073709551619",
    ),
    "another shard": ({"x": bundle_entry([1], 4, shard=3)}, r"b'x' is in shard 3 of 1"),
    "unknown type": ({"x": bundle_entry([1], 8, dtype=8)}, r"'x' has TensorFlow's type 8: float32, float64"),
    "negative size": ({"x": bundle_entry([2**64 - 1], 4)}, r"found the impossible shape \[18446744073709551615\]"),
    "many axes": ({"x": bundle_entry([1] * 40, 4)}, r"found the impossible shape \[1, 1"),
    "unknown rank": ({"x": message((1, 1), (2, message((3, 1))), (5, 4))}, r"found a tensor of unknown shape"),
    "slices": ({"x": bundle_entry([1], 4, more=message((7, b"")))}, r"'x' is stored in slices, which are not joined"),
    "a slice": ({"\0x\0": bundle_entry([1], 4)}, r"holds a variable in slices \('x'\)"),
    "another field": ({"x": message((9, 1))}, r"the entry of b'x' has a field 9"),
    "an entry cut": ({"x": bundle_entry([1], 4)[:-1]}, r"is damaged at byte \d+: found the end within a number"),
    "an object graph of numbers": (
        {"_CHECKPOINTABLE_OBJECT_GRAPH": bundle_entry([1], 4)},
        r"its object graph is no text",
    ),
    "an object graph that lies": (
        {"_CHECKPOINTABLE_OBJECT_GRAPH": bundle_entry([], 8, dtype=7), "x": bundle_entry([1], 4)},
        r"its object graph has 3 bytes, not 0",
    ),
}
BLOCK = table_block({b"": message((1, 1)), b"x": bundle_entry([2], 8)})
TABLES: dict[str, tuple[bytes, str]] = {
    "no header": (
        table_bytes(table_block({b"x": bundle_entry([2], 8)})),
        r"is no index of a TensorFlow checkpoint: it",
    ),
    "many shards": (
        table_bytes(table_block({b"": message((1, 2**40))})),
        r"claims 1099511627776 shards; expected 1 to",
    ),
    "big-endian": (table_bytes(table_block({b"": message((2, 1))})), r"was written by a big-endian machine"),
    "a key twice": (table_bytes(BLOCK, BLOCK), r"the key b'' appears twice"),
    "a name of no text": (table_bytes(table_block({b"": b"", b"\xff": b""})), r"the name b'\\xff' is not UTF-8"),
    "a block past the end": (
        table_bytes(BLOCK, handles={b"k": varint(0) + varint(2**40)}),
        r"a block of 1099511627776 b",
    ),
    "one block many times": (
        table_bytes(BLOCK * 9, handles={b"%d" % i: varint(0) + varint(len(BLOCK) * 9) for i in range(9)}),
        r"its blocks overlap|appears twice",
    ),
    "unknown compression": (table_bytes(BLOCK, kind=7), r"found the unknown compression 7"),
    "a bomb": (table_bytes(varint(2**40) + b"\0a", kind=1), r"a block would unpack to 1099511627776 bytes; at most"),
    "an unpacked size that lies": (table_bytes(varint(9) + b"\0a", kind=1), r"does not unpack to the 9 bytes"),
    "a repeat of nothing": (table_bytes(varint(9) + b"\x01\x07", kind=1), r"repeats what is 7 bytes back, of 0"),
    "a literal cut": (table_bytes(varint(9) + b"\xf0", kind=1), r"does not unpack to the 9 bytes"),
    "restarts that lie": (table_bytes(b"\xff\xff\xff\x7f"), r"a block of 4 bytes has 2147483647 restarts"),
    "a key that shares too much": (
        table_bytes(varint(5) + varint(0) + varint(0) + bytes(4) + b"\1\0\0\0"),
        r"a key shares 5 bytes and has 0 of its own",
    ),
    "a value past the block": (
        table_bytes(varint(0) + varint(1) + varint(2**40) + bytes(4) + b"\1\0\0\0"),
        r"a value of 1099511627776, in a block of",
    ),
    "a flipped bit": (table_bytes(BLOCK)[:5] + b"\xee" + table_bytes(BLOCK)[6:], r"byte 0 does not have its checksum"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    entries, error = ENTRIES[case]
    write_bundle(tmp_path, entries, bytes(8))
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(tmp_path)


@pytest.mark.parametrize("case", TABLES)
def test_a_broken_index_is_refused(tmp_path: Path, case: str) -> None:
    content, error = TABLES[case]
    index = tmp_path / "m.ckpt.index"
    index.write_bytes(content)
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(CheckpointError, match=error):
        checkpoint.read(index)


@pytest.mark.parametrize("keep", [0, 1, 7, 47, 60])
def test_a_cut_index_is_refused(tmp_path: Path, keep: int) -> None:
    index = write_tensorflow(tmp_path, _google_arrays())
    index.write_bytes(index.read_bytes()[:keep])
    for path in (index, tmp_path):
        with pytest.raises(CheckpointError):
            checkpoint.read(path)


def test_a_shard_that_is_empty_or_not_there_or_links_out_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    write_tensorflow(folder, _google_arrays())
    shard = folder / "m.ckpt.data-00000-of-00001"
    content = shard.read_bytes()
    shard.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"00001 is cut: 'bert/.*' ends at byte \d+, but the file has 0"):
        checkpoint.open_checkpoint(folder)
    shard.unlink()
    with pytest.raises(
        CheckpointError, match=r"the files with their numbers are not there: m\.ckpt\.data-00000-of-00001"
    ):
        checkpoint.open_checkpoint(folder)
    (tmp_path / "secret").write_bytes(content)
    shard.symlink_to(tmp_path / "secret")
    with pytest.raises(CheckpointError, match=r"links out of its directory, to .*secret; it is not followed"):
        checkpoint.open_checkpoint(folder)


def test_shards_without_their_index_are_named(tmp_path: Path) -> None:
    write_tensorflow(tmp_path, _google_arrays()).unlink()
    with pytest.raises(
        CheckpointError, match=r"has m\.ckpt\.data-00000-of-00001, but not the \.index that names the t"
    ):
        checkpoint.read(tmp_path)


def test_random_damage_never_gives_anything_but_a_checkpoint_error(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    index = write_tensorflow(tmp_path, _google_arrays())
    original = index.read_bytes()
    refused = 0
    for turn in range(100):
        content = bytearray(original)
        if turn % 2:
            del content[int(random.integers(1, len(content))) : -60]
        for at in random.integers(0, len(content) - 8, 3):
            content[at] = int(random.integers(256))
        index.write_bytes(content)
        try:
            checkpoint.read(index)
        except CheckpointError:
            refused += 1
    assert refused >= 98  # the checksums see nearly everything


@pytest.mark.parametrize("path", ["/", "."])
def test_a_folder_without_a_name_means_no_index(path: str) -> None:
    assert tensorflow_files.index_of(Path(path)) is None
