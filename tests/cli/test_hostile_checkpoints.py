"""Broken and hostile checkpoints through the commands: one line that says what is wrong, and nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bert_ms.cli import main
from bert_ms.config import BertConfig
from tests.checkpoint.builders import TINY, bundle_entry, torch_zip, write_bundle, write_safetensors, write_tiny
from tests.support import golden

LEARNED = dataclasses.replace(TINY, relative_position="learned", max_relative_position=4)
SINUSOID = dataclasses.replace(TINY, relative_position="sinusoid")
LARGE = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
Make = Callable[[Path], object]


class _Runs:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch was_run",)


def _weights(here: Path) -> Path:
    return write_tiny(here / "m") / "model.safetensors"


def _cut(here: Path) -> None:
    os.truncate(_weights(here), 5000)


def _lie(here: Path) -> None:
    file = _weights(here)
    content = file.read_bytes()
    file.write_bytes((2**40).to_bytes(8, "little") + content[8:])


def _lie_about_a_tensor(here: Path) -> None:
    file = _weights(here)
    file.write_bytes(file.read_bytes().replace(b'"shape": [12, 8]', b'"shape": [99, 8]'))


def _pickle(here: Path) -> None:
    _weights(here).unlink()
    (here / "m/pytorch_model.bin").write_bytes(torch_zip(pickle.dumps({"a": _Runs()}, protocol=2), bytes(8)))


def _index_alone(here: Path) -> None:
    (here / "m").mkdir()
    write_bundle(here / "m", {"bert/embeddings/word_embeddings": bundle_entry([2, 2], 16)}, b"")
    (here / "m/m.ckpt.data-00000-of-00001").unlink()


def _vocabulary(here: Path) -> None:
    write_tiny(here / "m")
    (here / "m/vocab.txt").write_text("".join(f"w{i}\n" for i in range(13)))


def _another_config(weights: BertConfig, config: BertConfig) -> Make:
    def make(here: Path) -> None:
        write_tiny(here / "m", weights)
        config.save(here / "m/config.json")

    return make


def _empty(here: Path) -> None:
    _weights(here).write_bytes(b"")


def _no_weights(here: Path) -> None:
    _weights(here).unlink()


def _directory_for_a_file(here: Path) -> None:
    _weights(here).unlink()
    (here / "m/model.safetensors").mkdir()


def _link(here: Path) -> None:
    _weights(here).rename(here / "secret")
    (here / "m/model.safetensors").symlink_to(here / "secret")


def _sparse(here: Path) -> None:
    os.truncate(_weights(here), 10 << 30)


def _sparse_zeros(here: Path) -> None:
    _weights(here).write_bytes(b"")
    os.truncate(here / "m/model.safetensors", 10 << 30)


def _sparse_vocabulary(here: Path) -> None:
    write_tiny(here / "m")
    (here / "m/vocab.txt").touch()
    os.truncate(here / "m/vocab.txt", 10 << 30)


# name -> (what makes the directory `m`, text of the error)
HOSTILE: dict[str, tuple[Make, str]] = {
    "cut": (_cut, r"model\.safetensors is cut.* Copy or download it again"),
    "a header's length that lies": (_lie, r"claims a header of 1099511627776 bytes; at most 100000000 are allowed"),
    "a tensor's size that lies": (_lie_about_a_tensor, r"float32 \[99, 8\] takes 3168 bytes; its data_offsets hold"),
    "a pickle that calls the shell": (_pickle, r"asks for posix\.system, which is no part of a tensor"),
    "an index without data": (_index_alone, r"files with their numbers are not there: m\.ckpt\.data-00000-of-00001"),
    "another vocabulary": (_vocabulary, r"vocab\.txt has 13 entries, the word table only 12 rows: it is another"),
    "NEZHA as BERT": (_another_config(SINUSOID, TINY), r"describes absolute positions, but the file holds no posit"),
    "learned NEZHA as BERT": (_another_config(LEARNED, TINY), r"holds learned relative positions \(9 distances a"),
    "learned as sinusoids": (_another_config(LEARNED, SINUSOID), r"holds learned relative .* describes .*'sinusoid"),
    "sinusoids as learned": (_another_config(SINUSOID, LEARNED), r"'learned', but the file holds no relative posi"),
    "base as large": (_another_config(TINY, LARGE), r"hidden_size is 1024 in the configuration, but 8 in the file; .*"),
    "zero bytes": (_empty, r"model\.safetensors is empty \(0 bytes\): the download or copy did not finish"),
    "no weights": (_no_weights, r"m holds no weights \(config\.json\): expected one of safetensors"),
    "a directory for a file": (_directory_for_a_file, r"m holds no weights \(config\.json\): expected one of"),
    "a link out of the folder": (_link, r"links out of its directory, to .*secret; it is not followed"),
    "ten gigabytes after it": (_sparse, r"is a sparse file: of its 10737418240 bytes only \d+ were ever written"),
    "ten gigabytes of zeros": (_sparse_zeros, r"begins with 512 zero bytes \(10737418240 bytes, 0 of them on disk\)"),
    "ten gigabytes of words": (_sparse_vocabulary, r"vocab\.txt has 10737418240 bytes; a tokenizer's file has at most"),
}  # fmt: skip


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that has to fail at once; gives its one line, once it is known to have left nothing."""

    def run(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        memory, start = _peak_bytes(), time.process_time()
        assert main([*arguments]) == 1
        assert time.process_time() - start < 10
        assert _peak_bytes() - memory < 64 << 20
        shown = capfd.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("bert-ms: error: ")
        assert shown.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return shown.err

    return run


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_checkpoint_is_neither_described_nor_converted(
    tmp_path: Path, refused: Callable[..., str], case: str
) -> None:
    make, error = HOSTILE[case]
    make(tmp_path)
    commands = [["inspect", "m"], *(["convert", "m", "deep/out", "--format", name] for name in ("mindspore", "tf1"))]
    for command in commands:
        assert re.search(error, refused(*command))


def test_a_pickle_named_alone_is_not_run_either(tmp_path: Path, refused: Callable[..., str]) -> None:
    _pickle(tmp_path)
    assert "asks for posix.system" in refused("inspect", "m/pytorch_model.bin")
    assert pickle.loads(pickle.dumps({"a": _Runs()}, protocol=2)) == {"a": 0}  # the bomb is real
    assert (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("fixture", "file", "config", "error"),
    [
        ("hf_nezha_qa", "model.safetensors", "hf_bert_model", r"holds no position table \(is it NEZHA\?\)"),
        ("modelzoo_bert_model_nezha", "bert.ckpt", "hf_nezha_qa", r"learned relative positions .*NEZHA .*'sinusoid'"),
        ("hf_bert_model", "model.safetensors", "", r"hidden_size is 1024 in the configuration, but 32 in the file"),
    ],
)
def test_a_configuration_named_beside_a_bare_file_has_to_fit_it(
    tmp_path: Path, refused: Callable[..., str], fixture: str, file: str, config: str, error: str
) -> None:
    (tmp_path / file).write_bytes((golden(fixture) / file).read_bytes())
    LARGE.save(tmp_path / "large.json")
    given = str(golden(config) / "config.json") if config else "large.json"
    assert re.search(error, refused("inspect", file, "--model-config", given))
    assert re.search(error, refused("convert", file, "out", "--format", "safetensors", "--model-config", given))


def test_a_linked_vocabulary_does_not_bring_another_files_content_along(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    write_tiny(tmp_path / "m")
    (tmp_path / "secret").write_text("password\n")
    (tmp_path / "m/vocab.txt").symlink_to("../secret")
    shown = refused("convert", "m", "out", "--format", "safetensors")
    assert re.search(r"m/vocab\.txt links out of its directory, to .*secret; it is not copied", shown)


def test_a_checkpoint_with_a_tensor_of_nobody_is_described_and_not_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bert_ms import checkpoint

    arrays = dict(checkpoint.read(write_tiny(tmp_path / "m")))
    write_safetensors(tmp_path / "m/model.safetensors", {**arrays, "bert.gate.weight": arrays.popitem()[1]})
    assert main(["inspect", "m"]) == 0
    assert "unexplained  1: bert.gate.weight" in capsys.readouterr().out
    assert main(["convert", "m", "out", "--format", "tf1"]) == 1
    assert "unused tensors of the file: bert.gate.weight" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
