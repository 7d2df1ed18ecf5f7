"""Saving: bit for bit, all or nothing, with everything needed to load again."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from bert_ms.checkpoint import staging
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from tests.checkpoint.builders import TINY, tiny_arrays, write_tiny
from tests.support import REPOSITORY, golden

ms = pytest.importorskip("mindspore")
model = pytest.importorskip("bert_ms.model")

HF, ZOO, OURS, TF1 = "safetensors", "modelzoo", "mindspore", "tf1"
FILES = {HF: "model.safetensors", ZOO: "bert.ckpt", OURS: "model.ckpt", TF1: "bert_model.ckpt.index"}


def _same(first: checkpoint.Checkpoint, second: checkpoint.Checkpoint) -> None:
    assert set(first.entries) == set(second.entries)
    for name in first.entries:
        one, other = first.array(name), second.array(name)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes(), name


@pytest.mark.parametrize(
    ("fixture", "formats"),
    [
        ("hf_bert_model", (OURS, ZOO, TF1, HF)),
        ("hf_bert_qa", (ZOO, TF1, OURS, HF)),
        ("hf_bert_model_bf16", (OURS, HF, ZOO, TF1)),
        ("hf_bert_relative_key", (OURS, HF)),
        ("hf_nezha_qa", (OURS, TF1, HF)),
        ("hf_bert_mlm_untied", (HF, OURS)),
        ("hf_bert_pretraining", (ZOO, HF, TF1, OURS)),
        ("hf_bert_seqcls", (TF1, ZOO, HF, OURS)),
        ("hf_bert_tokencls", (TF1, OURS)),
        ("modelzoo_squad", (HF, OURS, ZOO, TF1)),
        ("modelzoo_squad_nezha", (OURS, ZOO)),
        ("modelzoo_ner_crf_lstm", (OURS, ZOO)),
        ("tf1_bert_classifier", (OURS, TF1, HF)),
        ("tf2_savedmodel_expert", (TF1, HF)),
        ("gluonnlp_qa", (TF1, HF)),
    ],
)
def test_formats_give_each_other_the_same_bits(tmp_path: Path, fixture: str, formats: tuple[str, ...]) -> None:
    first = checkpoint.open_checkpoint(golden(fixture))
    source = golden(fixture)
    for i, name in enumerate(formats):
        bert_ms.convert(source, tmp_path / str(i), format=name)
        source = tmp_path / str(i)
        last = checkpoint.open_checkpoint(source)
        _same(first, last)
        assert (last.config.layer_norm_eps, last.config.hidden_act) == (
            first.config.layer_norm_eps,
            first.config.hidden_act,
        )
        assert last.task == first.task
        assert last.unknown == ()


@pytest.mark.parametrize("format", FILES)
def test_a_trained_network_comes_back_with_the_same_bits(tmp_path: Path, format: str) -> None:
    cell = bert_ms.from_pretrained(golden("hf_bert_qa"), "question-answering")
    for _, parameter in cell.parameters_and_names():
        parameter.set_data(parameter + 0.25)
    written = checkpoint.save(cell, tmp_path / "out", format=format)
    assert written == tmp_path / "out" / FILES[format]
    again = bert_ms.from_pretrained(tmp_path / "out", "question-answering")
    assert again.config == cell.config
    for (_, one), (_, other) in zip(cell.parameters_and_names(), again.parameters_and_names(), strict=True):
        assert one.asnumpy().tobytes() == other.asnumpy().tobytes()


def test_safetensors_are_what_the_library_and_transformers_expect(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    bert_ms.convert(golden("modelzoo_squad"), tmp_path, format=HF)
    ours, theirs = load_file(tmp_path / FILES[HF]), load_file(golden("hf_bert_qa") / FILES[HF])
    assert set(theirs) <= set(ours)
    assert set(ours) - set(theirs) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    with safe_open(tmp_path / FILES[HF], "np") as file:
        assert file.metadata() == {"format": "pt"}
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"] == "bert"
    assert config["architectures"] == ["BertForQuestionAnswering"]


@pytest.mark.parametrize("format", [OURS, ZOO])
def test_ckpt_files_are_what_mindspore_loads(tmp_path: Path, format: str) -> None:
    bert_ms.convert(golden("modelzoo_squad"), tmp_path, format=format)
    loaded = ms.load_checkpoint(str(tmp_path / FILES[format]), crc_check=format == OURS)
    ours = checkpoint.read(tmp_path)
    assert list(loaded) == list(ours)
    for name, parameter in loaded.items():
        np.testing.assert_array_equal(parameter.asnumpy(), ours[name])
    if format == ZOO:
        zoo = set(checkpoint.read(golden("modelzoo_squad")))
        assert set(loaded) == zoo - {"total_num", "start_num", "end_num"}


def test_large_tensors_are_split_as_mindspore_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_ms.checkpoint.writers.SLICE_BYTES", 100)
    source = write_tiny(tmp_path / "m")
    written = bert_ms.convert(source, tmp_path / "out", format=OURS)
    _same(checkpoint.open_checkpoint(source), checkpoint.open_checkpoint(tmp_path / "out"))
    loaded = ms.load_checkpoint(str(written), crc_check=True)
    for name, array in tiny_arrays().items():
        np.testing.assert_array_equal(loaded[name].asnumpy(), array)


def test_configuration_vocabulary_and_casing_travel_along(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "m")
    (source / "vocab.txt").write_text("[PAD]\nword\n")
    (source / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    (source / "README.md").write_text("not needed")
    bert_ms.convert(source, tmp_path / "out", format=ZOO)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "bert.ckpt", "bert_ms.json", "config.json", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    assert (tmp_path / "out/vocab.txt").read_text() == "[PAD]\nword\n"


def test_a_tokenizer_saves_itself_beside_the_weights(tmp_path: Path) -> None:
    class Tokenizer:
        def save(self, directory: Path) -> None:
            (Path(directory) / "vocab.txt").write_text("[PAD]\n")

    checkpoint.save(model.build(TINY, "encoder"), tmp_path / "out", tokenizer=Tokenizer())
    assert (tmp_path / "out/vocab.txt").read_text() == "[PAD]\n"
    manifest = json.loads((tmp_path / "out/bert_ms.json").read_text())
    assert set(manifest["sha256"]) == {"model.ckpt", "config.json", "vocab.txt"}
    assert manifest["task"] == "encoder"


def test_a_single_file_carries_its_configuration_beside_it(tmp_path: Path) -> None:
    written = bert_ms.convert(golden("modelzoo_squad"), tmp_path / "one.ckpt", format=OURS)
    assert written == tmp_path / "one.ckpt"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.ckpt", "one.ckpt.json"]
    opened = checkpoint.open_checkpoint(written)
    assert opened.config.layer_norm_eps == 1e-7
    assert checkpoint.open_checkpoint(tmp_path).config == opened.config
    bert_ms.convert(golden("hf_bert_qa"), tmp_path / "two.safetensors", format=HF)
    assert checkpoint.open_checkpoint(tmp_path / "two.safetensors").config.layer_norm_eps == 1e-12
    _same(opened, checkpoint.open_checkpoint(golden("modelzoo_squad")))


def test_beside_a_single_file_no_other_vocabulary_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_tiny(tmp_path / "m")
    (source / "vocab.txt").write_text("[PAD]\nnew\n")
    (tmp_path / "vocab.txt").write_text("[PAD]\nold\n")
    bert_ms.convert(source, tmp_path / "one.ckpt", format=OURS)
    assert (tmp_path / "vocab.txt").read_text() == "[PAD]\nold\n"
    assert "belongs to other weights and is kept" in caplog.text


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    checkpoint.save(model.build(TINY, "encoder"), tmp_path / "out")
    assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "out").iterdir()} == {"0o644"}


def test_saving_again_replaces_what_was_there(tmp_path: Path) -> None:
    for seed in (1, 2):
        ms.set_seed(seed)
        cell = model.build(TINY, "encoder")
        checkpoint.save(cell, tmp_path / "out")
    _, parameter = next(cell.parameters_and_names())
    opened = checkpoint.open_checkpoint(tmp_path / "out")
    assert opened.array("embeddings.word_embeddings.weight").tobytes() == parameter.asnumpy().tobytes()


def test_a_source_is_not_written_over_by_its_own_conversion(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "tiny")
    opened = checkpoint.open_checkpoint(source)
    file = opened.weights.files[0]
    before = file.read_bytes()
    names = sorted(path.name for path in opened.source.directory.iterdir())
    for destination in (file, opened.source.directory):
        with pytest.raises(CheckpointError, match="is the source itself, which is left as it is: name another desti"):
            checkpoint.copy(opened, destination, format="modelzoo")
    assert file.read_bytes() == before
    assert sorted(path.name for path in opened.source.directory.iterdir()) == names


def test_a_changed_weights_file_is_noticed(tmp_path: Path) -> None:
    written = checkpoint.save(model.build(TINY, "encoder"), tmp_path / "out", format=HF)
    content = bytearray(written.read_bytes())
    content[-1] ^= 1
    written.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not what was saved: .* delete bert_ms\.json\."):
        checkpoint.open_checkpoint(tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "is no manifest of bert_ms"),
        ("[]", "is no manifest of bert_ms"),
        ('{"version": 99}', "has layout 99, newer than 1: upgrade bert_ms"),
        (
            '{"version": 1, "weights": "../up", "format": "", "sha256": {}}',
            "is not the name of a file in this directory",
        ),
        ('{"version": 1, "weights": 3, "format": "", "sha256": {}}', "weights or sha256 has a wrong type"),
    ],
)
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str, error: str) -> None:
    write_tiny(tmp_path / "m")
    (tmp_path / "m/bert_ms.json").write_text(text)
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(tmp_path / "m")


@pytest.mark.parametrize(
    ("fixture", "format", "error"),
    [
        ("modelzoo_squad_nezha", HF, r"cannot be written as 'safetensors': Hugging Face's Nezha has sinusoids"),
        ("hf_nezha_model", ZOO, r"the model zoo's NEZHA has a learned table, no sinusoids"),
        ("hf_bert_relative_key", ZOO, r"the model zoo has no position_embedding_type 'relative_key'"),
        (
            "hf_bert_lmhead_cross",
            ZOO,
            r"MindSpore model zoo files have no place for 'encoder\.layers\.0\.cross_attention",
        ),
        ("modelzoo_ner_crf", HF, r"Hugging Face files have no place for 'crf\.transitions'"),
        ("modelzoo_ner_crf", TF1, r"google-research \(TensorFlow 1\) files have no place for 'crf\.transitions'"),
        (
            "hf_bert_mlm_untied",
            TF1,
            r"google-research \(TensorFlow 1\) files have no place for 'predictions\.decoder\.weight'",
        ),
        ("modelzoo_squad_nezha", TF1, r"cannot be written as 'tf1': NEZHA in TensorFlow has sinusoids"),
        ("hf_bert_model", "mindspor", r"unknown format 'mindspor': did you mean 'mindspore'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, fixture: str, format: str, error: str) -> None:
    with pytest.raises(CheckpointError, match=error):
        bert_ms.convert(golden(fixture), tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cell = model.build(TINY, "encoder")
    if failing == "write":
        monkeypatch.setattr("bert_ms.checkpoint.writers.bytes_of", full)
    else:
        monkeypatch.setattr(staging.os, failing, full)
    with pytest.raises(CheckpointError, match=r"deep/out: the disk is full \(No space left on device\)"):
        checkpoint.save(cell, tmp_path / "deep/out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_checkpoint_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_tiny(tmp_path / "m")
    bert_ms.convert(source, tmp_path / "out", format=OURS)
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(CheckpointError, match=r"out: 1\.1 MB are needed, but only 0\.0 MB are free"):
        checkpoint.save(model.build(TINY, "encoder"), tmp_path / "out")
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_a_limit_on_file_size_is_a_clear_error(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "m")
    script = (
        "import resource, signal, sys, bert_ms\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        f"bert_ms.convert({str(source)!r}, {str(tmp_path / 'out')!r}, format='mindspore')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert "the disk is full (File too large)" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_converting_holds_one_tensor_at_a_time(tmp_path: Path) -> None:
    config = BertConfig(
        vocab_size=8, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, intermediate_size=2048
    )
    source = write_tiny(tmp_path / "m", config)
    size = (source / "model.safetensors").stat().st_size
    assert size > 100e6
    script = (
        "import resource, bert_ms\n"
        "from bert_ms import checkpoint; import bert_ms.hub.convert\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak()\n"
        f"bert_ms.convert({str(source)!r}, {str(tmp_path / 'out')!r}, format='modelzoo')\n"
        "print(peak() - before)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 0.3 * size


def test_a_destination_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cell = model.build(TINY, "encoder")
    with pytest.raises(CheckpointError, match=r"file is a file: name a directory"):
        checkpoint.save(cell, tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"model.bin is no name for 'safetensors': name a directory, or a file"):
        checkpoint.save(cell, tmp_path / "model.bin", format=HF)
    with pytest.raises(CheckpointError, match=r"file/out cannot be written: Not a directory"):
        checkpoint.save(cell, tmp_path / "file" / "out")
