"""MXNet's .params files and GluonNLP's names, read without MXNet, whole and broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.checkpoint import names
from bert_ms.checkpoint.readers import mxnet
from bert_ms.checkpoint.weights import STORED_TYPES
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import TINY, mxnet_array, mxnet_bytes, tiny_arrays
from tests.support import golden

ONE = mxnet_array([1], bytes(4))


def _write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.write_bytes(mxnet_bytes(*(mxnet_array(a.shape, a.tobytes()) for a in arrays.values()), names=arrays))
    return path


def test_a_network_of_gluonnlp_loads_as_it_was(tmp_path: Path) -> None:
    arrays = tiny_arrays(head=True)
    written = names.GLUON.names_of(arrays)
    _write(tmp_path / "net.params", {written[name].name: array for name, array in arrays.items()})
    TINY.save(tmp_path / "config.json")
    opened = checkpoint.open_checkpoint(tmp_path)
    assert (opened.origin, opened.task, opened.unknown) == ("GluonNLP", "question-answering", ())
    for name, array in arrays.items():
        np.testing.assert_array_equal(opened.array(name), array)


def test_the_three_forms_of_one_network_are_the_same() -> None:
    whole, once, blocks = (
        checkpoint.open_checkpoint(golden("gluonnlp_bert") / f"{name}.params")
        for name in ("bert", "bert_dedup", "bert_legacy_collect_params")
    )
    assert set(whole.entries) == set(once.entries) == set(blocks.entries)
    assert (whole.unknown, once.unknown, blocks.unknown) == ((), (), ())
    for name in whole.entries:
        np.testing.assert_array_equal(whole.array(name), once.array(name))
        np.testing.assert_array_equal(whole.array(name), blocks.array(name))
    assert once.file_names["embeddings.word_embeddings.weight"] == "decoder.3.weight"
    assert whole.dropped == {"copy of a tied parameter": ("decoder.3.weight",)}


def test_gluonnlps_hyperparameters_are_a_configuration() -> None:
    config = BertConfig.from_file(golden("gluonnlp_bert"))
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (32, 64, 3)
    assert (config.hidden_act, config.layer_norm_eps, config.pad_token_id) == ("gelu", 1e-12, None)
    assert (config.max_position_embeddings, config.attention_probs_dropout_prob) == (40, 0.1)


def test_a_configuration_can_be_told_from_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "net.params").write_bytes((golden("gluonnlp_qa") / "net.params").read_bytes())
    opened = checkpoint.open_checkpoint(tmp_path, num_attention_heads=4)
    own = BertConfig.from_file(golden("gluonnlp_qa"))
    assert opened.config == BertConfig(**{**vars(own), "task": "question-answering", "add_pooler": False})


def test_a_vocabulary_larger_than_the_word_table_is_another_models(tmp_path: Path) -> None:
    for name in ("net.params", "config.json"):
        (tmp_path / name).write_bytes((golden("gluonnlp_qa") / name).read_bytes())
    (tmp_path / "vocab.json").write_text(json.dumps({"idx_to_token": [f"w{i}" for i in range(121)]}))
    with pytest.raises(CheckpointError, match=r"vocab\.json has 121 entries, the word table only 120 rows"):
        checkpoint.open_checkpoint(tmp_path)


@pytest.mark.parametrize("table", [names.GLUON, names.GLUON_BLOCKS], ids=lambda table: table.name)
def test_names_go_there_and_back(table: names.NameTable) -> None:
    ours = [*tiny_arrays(), "predictions.bias", "predictions.transform.layer_norm.weight", "seq_relationship.bias"]
    written = table.names_of(ours)
    back = names.translate([found.name for found in written.values()], file="f")
    assert back.table is table
    assert list(back.found) == ours


def test_every_type_and_version_is_read(tmp_path: Path) -> None:
    arrays, expected = [], {}
    for flag, dtype in enumerate(mxnet.TYPES):
        values = np.array([0, 1], STORED_TYPES[dtype])
        arrays.append(mxnet_array([2], values.tobytes(), flag=flag))
        expected[f"{flag}"] = values
    expected["12"] = np.array([0, 1 / 2**133], np.float32)  # the bits of bfloat16
    for magic in (0xF993FAC8, 0xF993FACA, 2):
        arrays.append(mxnet_array([2, 1], np.ones(2, np.float32).tobytes(), magic=magic))
        expected[f"version {magic}"] = np.ones((2, 1), np.float32)
    arrays.append(mxnet_array([], np.float32(3).tobytes(), magic=0xF993FACA))
    expected["scalar"] = np.array(3, np.float32)
    (tmp_path / "all.params").write_bytes(mxnet_bytes(*arrays, names=expected))
    weights = checkpoint.read(tmp_path)
    assert set(weights) == set(expected)
    for name, array in expected.items():
        assert weights[name].shape == array.shape
        np.testing.assert_array_equal(weights[name], array)


BROKEN: dict[str, tuple[bytes, str]] = {
    "cut array": (mxnet_bytes(ONE, names=["a"])[:-20], r"bytes should follow, but \d+ are left"),
    "cut name": (mxnet_bytes(ONE, names=["a"])[:-1], r"1 bytes should follow, but 0 are left"),
    "nothing after the magic": (mxnet_bytes(names=[])[:16], r"8 bytes should follow, but 0 are left"),
    "more arrays than there are": (mxnet_bytes(ONE, names=["a"], count=9), r"is cut or damaged|is damaged"),
    "arrays past counting": (mxnet_bytes(ONE, names=["a"], count=2**60), r"found 1152921504606846976 arrays"),
    "no name": (mxnet_bytes(ONE, names=[]), r"has 1 arrays and 0 names: it needs one for each"),
    "a name twice": (mxnet_bytes(ONE, ONE, names=["a", "a"]), r"a name appears twice among \['a', 'a'\]"),
    "more after the end": (mxnet_bytes(ONE, names=["a"]) + b"?", r"1 bytes follow the last name"),
    "sparse": (mxnet_bytes(mxnet_array([1], bytes(4), kind=1), names=["a"]), r"holds a sparse array \(kind 1\)"),
    "many axes": (mxnet_bytes(mxnet_array([1], bytes(4), rank=99), names=["a"]), r"found an array with 99 axes"),
    "no axes": (mxnet_bytes(mxnet_array([], b""), names=["a"]), r"found an array of the shape \[\]"),
    "negative size": (mxnet_bytes(mxnet_array([-1], bytes(4)), names=["a"]), r"found an array of the shape \[-1\]"),
    "size past the file": (
        mxnet_bytes(mxnet_array([2**40], bytes(4)), names=["a"]),
        r"4398046511104 bytes should follow",
    ),
    "unknown type": (mxnet_bytes(mxnet_array([1], bytes(4), flag=77), names=["a"]), r"an array of the unknown type 77"),
    "name of no text": (mxnet_bytes(ONE, names=["a"])[:-1] + b"\xff", r"found a name that is not UTF-8"),
    "long name": (mxnet_bytes(ONE, names=["a" * 5000]), r"found a name of 5000 bytes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(tmp_path: Path, case: str) -> None:
    content, error = BROKEN[case]
    (tmp_path / "net.params").write_bytes(content)
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(tmp_path)


def test_random_damage_never_gives_anything_but_a_checkpoint_error(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    path = _write(tmp_path / "net.params", {f"p{i}": np.ones((2, i + 1), np.float32) for i in range(20)})
    original = path.read_bytes()
    refused = 0
    for _ in range(200):
        content = bytearray(original)
        for at in random.integers(16, len(content), 4):
            content[at] = int(random.integers(256))
        path.write_bytes(content)
        try:
            weights = checkpoint.read(path)
            assert all(weights[name] is not None for name in weights)
        except CheckpointError:
            refused += 1
    assert 100 < refused <= 200
