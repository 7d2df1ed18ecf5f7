"""A configuration against the weights it comes with, and one told from shapes alone."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from bert_ms import checkpoint
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError
from tests.checkpoint.builders import TINY, write_safetensors, write_tiny
from tests.support import golden

BASE = {"num_attention_heads": 4, "intermediate_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "vocab_size": 120,
        "max_position_embeddings": 40}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"vocab_size": 13}, "vocab_size is 13 in the configuration, but 12 in the file"),
        ({"hidden_size": 16}, "hidden_size is 16 in the configuration, but 8 in the file"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3 in the configuration, but 2 in the file"),
        ({"num_hidden_layers": 1}, "num_hidden_layers is 1 in the configuration, but 2 in the file"),
        ({"intermediate_size": 32}, "intermediate_size is 32 in the configuration, but 16 in the file"),
        ({"max_position_embeddings": 512}, "max_position_embeddings is 512 in the configuration, but 10 in the file"),
        ({"type_vocab_size": 1}, "type_vocab_size is 1 in the configuration, but 2 in the file"),
        (
            {"relative_position": "learned"},
            "NEZHA with relative_position 'learned', but the file holds no relative positions",
        ),
        ({"position_embedding_type": "relative_key"}, "'relative_key', but the file holds no relative positions"),
    ],
)
def test_a_config_file_that_does_not_describe_its_weights_is_refused(tmp_path: Path, change: dict, error: str) -> None:
    directory = write_tiny(tmp_path / "m")
    dataclasses.replace(TINY, **change).save(directory / "config.json")
    with pytest.raises(CheckpointError, match=f"does not fit its configuration: .*{error}"):
        checkpoint.open_checkpoint(directory)


@pytest.mark.parametrize(
    ("fixture", "activation", "pad"),
    [("hf_bert_model_legacy_bin", "gelu", 0), ("gluonnlp_qa", "gelu", None), ("tf1_bert", "gelu_tanh", None)],
)
def test_plain_keys_mean_what_they_mean_at_the_weights_origin(
    tmp_path: Path, fixture: str, activation: str, pad: int | None
) -> None:
    """`bert_config.json` has the same keys at google, whose GELU is by tanh, and beside PyTorch's, whose is by erf."""
    for file in golden(fixture).iterdir():
        if file.name not in ("config.json", "vocab.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "bert_config.json").write_bytes((golden("tf1_bert") / "bert_config.json").read_bytes())
    config = checkpoint.open_checkpoint(tmp_path).config
    assert (config.hidden_act, config.pad_token_id, config.layer_norm_eps) == (activation, pad, 1e-12)


def test_every_disagreement_is_named_at_once() -> None:
    large = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
    with pytest.raises(
        CheckpointError, match=r"config= contradicts .*config\.json.* hidden_size is 1024, there 32; .*24"
    ):
        checkpoint.open_checkpoint(golden("hf_bert_model"), config=large)


@pytest.mark.parametrize(
    ("fixture", "change", "error"),
    [
        ("hf_nezha_model", {"relative_position": "none"}, "relative_position is 'none', there 'sinusoid'"),
        ("hf_bert_model", {"relative_position": "sinusoid"}, "relative_position is 'sinusoid', there 'none'"),
        ("modelzoo_bert_model_nezha", {"relative_position": "sinusoid"}, "is 'sinusoid', there 'learned'"),
        ("modelzoo_bert_model_nezha", {"relative_position": "none"}, "is 'none', there 'learned'"),
        ("hf_bert_model", {"num_attention_heads": 8}, "num_attention_heads is 8, there 4"),
    ],
)
def test_one_kind_never_loads_into_another(fixture: str, change: dict, error: str) -> None:
    own = BertConfig.from_file(golden(fixture))
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(golden(fixture), config=dataclasses.replace(own, **change))


@pytest.mark.parametrize(
    ("fixture", "file", "change", "error"),
    [
        ("hf_nezha_model", "model.safetensors", {}, r"holds no position table \(is it NEZHA\?\)"),
        (
            "modelzoo_bert_model_nezha",
            "bert.ckpt",
            {"relative_position": "sinusoid"},
            r"learned relative positions \(33 distances a layer\), but the configuration describes NEZHA .*'sinusoid'",
        ),
        (
            "modelzoo_bert_model_nezha",
            "bert.ckpt",
            {},
            r"learned relative positions .* position_embedding_type 'absolute'",
        ),
        (
            "modelzoo_bert_model_nezha",
            "bert.ckpt",
            {"relative_position": "learned", "max_relative_position": 64},
            "holds 33 relative distances a layer, the configuration implies 129",
        ),
        (
            "modelzoo_bert_model_nezha",
            "bert.ckpt",
            {"relative_position": "learned", "max_relative_position": 16, "num_attention_heads": 8},
            r"num_attention_heads is 8 in the configuration \(heads of 4\), but .* heads of 8",
        ),
        ("modelzoo_bert_model", "bert.ckpt", {"relative_position": "learned"}, "the file holds no relative positions"),
    ],
)
def test_a_bare_file_is_checked_against_the_given_config(
    tmp_path: Path, fixture: str, file: str, change: dict, error: str
) -> None:
    bare = tmp_path / file
    bare.write_bytes((golden(fixture) / file).read_bytes())
    with pytest.raises(CheckpointError, match=error):
        checkpoint.open_checkpoint(bare, config=BertConfig(**{**BASE, **change}))


def test_a_bert_file_without_config_is_no_sinusoid_nezha(tmp_path: Path) -> None:
    bare = tmp_path / "model.safetensors"
    bare.write_bytes((golden("hf_bert_model") / "model.safetensors").read_bytes())
    config = BertConfig(**BASE, relative_position="sinusoid")
    opened = checkpoint.open_checkpoint(bare, config=config)
    with pytest.raises(CheckpointError, match=r"unused tensors of the file: embeddings\.position_embeddings\.weight"):
        checkpoint.plan(opened, {k: v for k, v in opened.shapes.items() if "position_" not in k}).raise_if_bad()


def _alone(tmp_path: Path, fixture: str, file: str) -> Path:
    bare = tmp_path / "alone.bin"
    bare.write_bytes((golden(fixture) / file).read_bytes())
    return bare


def test_a_bare_nezha_of_the_zoo_tells_its_whole_architecture(tmp_path: Path) -> None:
    opened = checkpoint.open_checkpoint(_alone(tmp_path, "modelzoo_squad_nezha", "squad.ckpt"))
    own = BertConfig.from_file(golden("modelzoo_squad_nezha"))
    told = dataclasses.replace(
        opened.config, task=None, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        max_position_embeddings=own.max_position_embeddings,
    )  # fmt: skip
    assert told == own
    assert opened.task == "question-answering"
    assert any("no configuration came with the file" in note for note in opened.notes)


def test_heads_that_shapes_do_not_tell_have_to_be_given(tmp_path: Path) -> None:
    bare = _alone(tmp_path, "modelzoo_bert_model", "bert.ckpt")
    with pytest.raises(CheckpointError, match=r"hidden_size 32 is no multiple of 64\): give config="):
        checkpoint.open_checkpoint(bare)
    opened = checkpoint.open_checkpoint(bare, num_attention_heads=4)
    assert (opened.config.num_attention_heads, opened.config.layer_norm_eps) == (4, 1e-7)
    assert opened.config.hidden_act == "gelu_tanh"


def test_usual_heads_are_assumed_and_said(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, hidden_size=128)
    directory = write_tiny(tmp_path / "m", config)
    (directory / "config.json").unlink()
    opened = checkpoint.open_checkpoint(directory)
    assert opened.config == dataclasses.replace(config, task="encoder")
    assert "num_attention_heads 2 is assumed (heads of 64)" in opened.notes


def test_relative_keys_are_told_apart_from_nezha_by_their_position_table(tmp_path: Path) -> None:
    opened = checkpoint.open_checkpoint(_alone(tmp_path, "hf_bert_relative_key", "model.safetensors"))
    assert opened.config.position_embedding_type == "relative_key"
    assert opened.config.max_position_embeddings == 40


def test_a_vocabulary_larger_than_the_word_table_is_another_models(tmp_path: Path) -> None:
    directory = write_tiny(tmp_path / "m")
    (directory / "vocab.txt").write_text("\n".join(f"w{i}" for i in range(13)) + "\n")
    with pytest.raises(CheckpointError, match=r"vocab\.txt has 13 entries, the word table only 12 rows: it is another"):
        checkpoint.open_checkpoint(directory)


def test_what_does_not_shape_the_network_may_be_changed(tmp_path: Path) -> None:
    own = BertConfig.from_file(golden("hf_bert_model"))
    changed = dataclasses.replace(own, hidden_dropout_prob=0.5, hidden_act="relu")
    opened = checkpoint.open_checkpoint(golden("hf_bert_model"), config=changed)
    assert opened.config.hidden_dropout_prob == 0.5
    assert [n.split(" by")[0] for n in opened.notes] == ["hidden_act is 'relu'"]


def test_a_config_of_a_wrong_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="config= is a int: expected a BertConfig, a mapping, or the path of a file"):
        checkpoint.open_checkpoint(golden("hf_bert_model"), config=3)  # type: ignore[arg-type]


def test_a_tied_decoder_in_the_file_is_a_copy_and_an_untied_one_is_kept(tmp_path: Path) -> None:
    untied = checkpoint.open_checkpoint(golden("hf_bert_mlm_untied"))
    assert not untied.config.tie_word_embeddings
    weights = checkpoint.read(golden("hf_bert_mlm_untied"))
    np.testing.assert_array_equal(untied.array("predictions.bias"), weights["cls.predictions.decoder.bias"])
    arrays = dict(checkpoint.read(golden("hf_bert_mlm")))
    arrays["cls.predictions.decoder.weight"] = arrays["bert.embeddings.word_embeddings.weight"]
    arrays["cls.predictions.decoder.bias"] = arrays["cls.predictions.bias"]
    write_safetensors(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_bytes((golden("hf_bert_mlm") / "config.json").read_bytes())
    tied = checkpoint.open_checkpoint(tmp_path)
    assert tied.config.tie_word_embeddings
    assert len(tied.dropped["copy of a tied parameter"]) == 2


def test_opening_logs_nothing_alarming(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        checkpoint.open_checkpoint(golden("modelzoo_squad"))
    assert caplog.records == []
