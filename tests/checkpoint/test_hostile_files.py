"""Broken and hostile files: each gives one precise error, nothing in them is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import (
    bundle_entry,
    ckpt_value,
    message,
    pickled_mapping,
    pickled_tensor,
    safetensors_bytes,
    tensor,
    torch_zip,
    varint,
    write_bundle,
    write_tiny,
)
from tests.support import golden, shared_data

WORD = "bert.embeddings.word_embeddings.weight"


def _ckpt(*parts: bytes) -> bytes:
    return b"".join((ckpt_value("good", [1], "Float32", bytes(4)), *parts))


# name -> (content, text of the error)
SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "header of 2^62 bytes": (
        safetensors_bytes({}, length=2**62),
        r"claims a header of 4611686018427387904 bytes; at most",
    ),
    "header past the end": (
        safetensors_bytes({}, length=999),
        r"claims a header of 999 bytes, but has 10 bytes in all",
    ),
    "broken JSON": (safetensors_bytes(b'{"a": '), r"header is not valid JSON"),
    "no UTF-8": (safetensors_bytes(b'{"\xff": 1}'), r"header is not UTF-8 \(byte 2\)"),
    "deep JSON": (safetensors_bytes(b'{"a":' + b"[" * 200_000), r"header is not valid JSON"),
    "a name twice": (safetensors_bytes(b'{"a": 1, "a": 2}'), r"the key 'a' appears twice"),
    "no description": (safetensors_bytes({"a": 3}), r"tensor 'a' is not described by exactly dtype, shape"),
    "unknown type": (safetensors_bytes({"a": tensor([1], 0, 1, "F8_E4M3")}, b"1"), r"has the type 'F8_E4M3'"),
    "type of a wrong kind": (safetensors_bytes({"a": tensor([1], 0, 1, ["F32"])}, b"1"), r"has the type \['F32'\]"),
    "negative shape": (safetensors_bytes({"a": tensor([-1], 0, 4)}, bytes(4)), r"has the shape \[-1\]"),
    "shape of truth": (safetensors_bytes({"a": tensor([True], 0, 4)}, bytes(4)), r"has the shape \[True\]"),
    "too many axes": (safetensors_bytes({"a": tensor([1] * 9, 0, 4)}, bytes(4)), r"expected at most 8 whole numbers"),
    "offsets swapped": (safetensors_bytes({"a": tensor([1], 4, 0)}, bytes(4)), r"has the data_offsets \[4, 0\]"),
    "size lie": (safetensors_bytes({"a": tensor([3], 0, 4)}, bytes(4)), r"takes 12 bytes; its data_offsets hold 4"),
    "overflowing size": (
        safetensors_bytes({"a": tensor([2**31, 2**31, 2**31], 0, 4)}, bytes(4)),
        r"its data_offsets hold 4",
    ),
    "overlap": (
        safetensors_bytes({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
        r"'b' at byte 4 overlaps 'a', which ends at 8",
    ),
    "gap": (
        safetensors_bytes({"a": tensor([1], 0, 4), "b": tensor([1], 8, 12)}, bytes(12)),
        r"'b' at byte 8 leaves a gap after 'a'",
    ),
    "cut body": (
        safetensors_bytes({"a": tensor([4], 0, 16)}, bytes(10)),
        r"describes 16 bytes of tensors, but only 10 are there",
    ),
    "more body": (safetensors_bytes({"a": tensor([1], 0, 4)}, bytes(9)), r"5 bytes follow the last tensor"),
    "metadata of numbers": (safetensors_bytes({"__metadata__": {"a": 1}}), r"__metadata__ is not a mapping of texts"),
}
CKPT: dict[str, tuple[bytes, str]] = {
    "cut in a tensor": (
        _ckpt(ckpt_value("x", [4], "Float32", bytes(16))[:-3]),
        r"announces \d+ bytes, but \d+ are left",
    ),
    "length of 2^40": (_ckpt(b"\x0a" + varint(2**40)), r"announces 1099511627776 bytes, but 0 are left"),
    "endless number": (_ckpt(b"\x0a" + b"\xff" * 12), r"a number of more than ten bytes"),
    "zero tail": (_ckpt(bytes(64)), r"is damaged at byte \d+: found field number 0"),
    "another field": (_ckpt(message((5, b"?"))), r"found field 5 where a parameter should begin"),
    "group wire type": (_ckpt(b"\x0b"), r"found wire type 3"),
    "no tensor": (_ckpt(message((1, message((1, b"x"))))), r"a parameter without a name or a tensor"),
    "no content": (_ckpt(message((1, message((1, b"x"), (2, b""))))), r"'x' without a type or content"),
    "unknown type": (_ckpt(ckpt_value("x", [1], "Complex64", bytes(8))), r"'x' has the type 'Complex64'"),
    "size lie": (_ckpt(ckpt_value("x", [3], "Float32", bytes(4))), r"\[3\], which takes 12 bytes; 4 are there"),
    "negative size": (_ckpt(ckpt_value("x", [2**64 - 1], "Float32", bytes(4))), r"'x' with the impossible shape"),
    "many axes": (_ckpt(ckpt_value("x", [1] * 40, "Float32", bytes(4))), r"'x' with more than 16 dimensions"),
    "a name twice": (_ckpt(ckpt_value("x", [1], "Float32", bytes(4)), _ckpt()), r"'good' appears twice"),
    "name of a megabyte": (_ckpt(ckpt_value("x" * 2**20, [1], "Float32", bytes(4))), r"a parameter's name of 1048576"),
    "name of no text": (_ckpt(message((1, message((1, b"\xff\xfe"), (2, b""))))), r"that is not UTF-8"),
    "hash table": (_ckpt(message((1, message((1, b"x"), (3, b""))))), r"'x' is a hash-table parameter"),
}


class _Bomb:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch was_run",)


def _zip_bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    return buffer.getvalue()


def _other_zip() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


OTHERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", r"is empty \(0 bytes\): the download or copy did not finish"),
    "zeros": (lambda: bytes(4096), r"begins with 512 zero bytes .* not a checkpoint"),
    "pickle": (
        lambda: pickle.dumps(_Bomb()),
        r"is a Python pickle that PyTorch did not write.* Nothing in it was opened or run",
    ),
    "zip bomb": (_zip_bomb, r"is a compressed archive \('archive/data\.pkl' is \d+ bytes that unpack to 67108864\)"),
    "another zip": (_other_zip, r"is a zip archive that PyTorch did not write .* Nothing in it was opened or run"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), r"is an HDF5 file"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(99), r"is a gzip archive"),
    "git-lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\n", r"is a git-lfs pointer, not the file itself"),
    "web page": (lambda: b"\n<!DOCTYPE html><html>", r"is a web page, probably an error page"),
    "JSON": (lambda: b'{"vocab_size": 3}', r"is JSON text\b.* Name the file with the weights"),
    "noise": (lambda: b"\x93\x01noise", r"no checkpoint that can be read here: its first bytes are 93 01"),
}


@pytest.mark.parametrize("case", SAFETENSORS)
def test_a_broken_safetensors_file_is_refused(tmp_path: Path, case: str) -> None:
    content, error = SAFETENSORS[case]
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=error):
        checkpoint.read(path)


@pytest.mark.parametrize("case", CKPT)
def test_a_broken_ckpt_file_is_refused(tmp_path: Path, case: str) -> None:
    content, error = CKPT[case]
    path = tmp_path / "bert.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=error):
        checkpoint.read(path)


@pytest.mark.parametrize("case", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path: Path, case: str) -> None:
    make, error = OTHERS[case]
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(make())
    for source in (path, tmp_path):
        with pytest.raises(CheckpointError, match=error):
            checkpoint.open_checkpoint(source)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("cut", [1, 7, 100, 5000])
def test_a_cut_ckpt_file_is_refused_wherever_it_is_cut(tmp_path: Path, cut: int) -> None:
    content = golden("modelzoo_squad/squad.ckpt").read_bytes()
    path = tmp_path / "cut.ckpt"
    path.write_bytes(content[:-cut])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt"):
        checkpoint.open_checkpoint(path)


def test_the_truncated_minilm_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"is cut.*Copy or download it again"):
        checkpoint.open_checkpoint(shared_data("weights/all-MiniLM-L6-v2_TRUNCATED"))


def test_random_damage_never_gives_anything_but_a_checkpoint_error(tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    originals = [golden("modelzoo_bert_model/bert.ckpt"), golden("hf_bert_model") / "model.safetensors"]
    path = tmp_path / "w"
    refused = 0
    for turn in range(200):
        content = bytearray(originals[turn % 2].read_bytes()[: 1 + int(random.integers(20_000))])
        for at in random.integers(0, min(len(content), 3000), 3):
            content[at] = int(random.integers(256))
        path.write_bytes(content)
        try:
            checkpoint.open_checkpoint(path, config=golden("hf_bert_model") / "config.json")
        except CheckpointError:
            refused += 1
    assert refused == 200


def _word_table_of(gigabytes: int) -> bytes:
    """A header that tells the truth about a file of so many gigabytes."""
    rows = gigabytes << 25
    return safetensors_bytes({WORD: tensor([rows, 8], 0, rows * 32)})


SPARSE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", r"begins with 512 zero bytes .*: an unfinished download or a sparse file"),
    "a ckpt": (lambda: golden("modelzoo_bert_model/bert.ckpt").read_bytes(), r"is a sparse file: of its 10737418240 b"),
    "an empty header": (lambda: safetensors_bytes({}), r"is a sparse file: of its 10737418240 bytes only \d+ were"),
    "a true header": (lambda: _word_table_of(10), r"is a sparse file: of its 107374\d+ bytes only \d+ were ever"),
    "PyTorch": (lambda: torch_zip(pickled_mapping(a=pickled_tensor((2,), (1,), numbers=2)), bytes(8)), "sparse file"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPARSE)
def test_a_sparse_file_of_ten_gigabytes_costs_nothing(tmp_path: Path, case: str) -> None:
    make, error = SPARSE[case]
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(make())
        file.truncate((10 << 30) + (file.tell() if case == "a true header" else 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # kilobytes
    path.unlink()


def test_a_sparse_shard_of_tensorflow_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path, {"x": bundle_entry([2**28, 10], 10 << 30)}, b"")
    os.truncate(tmp_path / "m.ckpt.data-00000-of-00001", 10 << 30)
    with pytest.raises(CheckpointError, match=r"data-00000-of-00001 is a sparse file: of its 10737418240 bytes only 0"):
        checkpoint.read(tmp_path)


def test_links_out_of_the_directory_are_not_followed(tmp_path: Path) -> None:
    outside = write_tiny(tmp_path / "outside")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "model.safetensors").symlink_to(outside / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"links out of its directory, to .*outside.* it is not followed"):
        checkpoint.open_checkpoint(inside)


def test_links_within_hugging_faces_cache_are_followed(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    write_tiny(blobs)
    snapshot.mkdir(parents=True)
    for name in ("model.safetensors", "config.json"):
        (snapshot / name).symlink_to(f"../../blobs/{name}")
    assert len(checkpoint.open_checkpoint(snapshot).entries) == 39


@pytest.mark.parametrize("name", ["../outside/model.safetensors", "/etc/passwd", "..", "a/b", ""])
def test_an_index_that_points_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    write_tiny(tmp_path / "outside")
    directory = tmp_path / "inside"
    directory.mkdir()
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="is not the name of a file in this directory"):
        checkpoint.open_checkpoint(directory)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        ("[", "is not valid JSON"),
        ("[]", "has no weight_map"),
        ('{"weight_map": {}}', "has no weight_map"),
        ('{"weight_map": {"a": 1}}', "has no weight_map"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "'gone.safetensors' is named, but is not there"),
        ('{"weight_map": {"a": "one.safetensors"}}', r"says that 'a' is in one\.safetensors, but it is not"),
        ('{"weight_map": {"b": "one.safetensors"}}', r"does not list 1 tensors of its shards, among them 'c'"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path: Path, index: str, error: str) -> None:
    header = {"b": tensor([1], 0, 4), "c": tensor([1], 4, 8)}
    (tmp_path / "one.safetensors").write_bytes(safetensors_bytes(header, bytes(8)))
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(tmp_path)


def test_a_directory_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no weights \(no files\)"):
        checkpoint.read(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        CheckpointError, match=r"holds no weights \(config\.json\): expected one of safetensors, MindSpore"
    ):
        checkpoint.read(tmp_path)


def test_a_directory_with_several_weights_asks_which(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"several weights files \(squad-1_2\.ckpt, squad_noslots\.ckpt\)"):
        checkpoint.read(golden("modelzoo_squad_train_adamw"))


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/weights does not exist"):
        checkpoint.read("nowhere/weights")
