"""What came from PyTorch, TensorFlow or MXNet is ours from then on: it is written in our formats and stays itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from tests.support import golden

SOURCES = (
    "hf_bert_pretraining_legacy_bin",
    "tf1_bert/bert_model.ckpt",
    "tf1_bert_squad",
    "tf1_bert_classifier",
    "tf2_savedmodel_expert",
    "tf2_savedmodel_expert/saved_model",
    "tf2_checkpoint_encoder_v2",
    "gluonnlp_bert/bert_dedup.params",
    "gluonnlp_classifier",
    "gluonnlp_qa",
)


@pytest.mark.parametrize(
    ("source", "format"),
    [*((source, "safetensors") for source in SOURCES), ("tf1_bert_squad", "mindspore"), ("gluonnlp_qa", "modelzoo")],
)
def test_converting_keeps_every_tensor_and_the_configuration(tmp_path: Path, source: str, format: str) -> None:
    golden(source.split("/")[0])
    path = golden(source.split("/")[0]).joinpath(*source.split("/")[1:])
    before = checkpoint.open_checkpoint(path)
    bert_ms.convert(path, tmp_path / "out", format=format)
    after = checkpoint.open_checkpoint(tmp_path / "out")
    assert set(after.entries) == set(before.entries)
    for name in before.entries:
        np.testing.assert_array_equal(after.array(name), before.array(name))
    numerics = ("hidden_act", "layer_norm_eps", "pad_token_id", "num_attention_heads")
    assert [getattr(after.config, f) for f in numerics] == [getattr(before.config, f) for f in numerics]
    assert after.task == before.task
    if "classifier.weight" in after.entries:
        assert after.config.num_labels == len(after.array("classifier.weight")) == 3


@pytest.mark.parametrize("source", ["gluonnlp_qa", "tf2_savedmodel_expert/saved_model"])
def test_the_vocabulary_goes_along(tmp_path: Path, source: str) -> None:
    path = golden(source)
    bert_ms.convert(path, tmp_path / "out", format="safetensors")
    assert (tmp_path / "out" / "vocab.txt").is_file()  # the form that Hugging Face reads, too
    before, after = bert_ms.Tokenizer.from_pretrained(path), bert_ms.Tokenizer.from_pretrained(tmp_path / "out")
    assert list(after.vocabulary) == list(before.vocabulary)
    assert after.encode("tok001 tok002").input_ids == before.encode("tok001 tok002").input_ids


def test_a_folder_of_training_with_pytorch_is_read_by_its_weights(tmp_path: Path) -> None:
    """Transformers' Trainer leaves optimiser, schedule and arguments beside them, in PyTorch's files, too."""
    for name in ("pytorch_model.bin", "config.json"):
        shutil.copy(golden("hf_bert_model_legacy_bin") / name, tmp_path)
    for name in ("optimizer.pt", "training_args.bin"):
        (tmp_path / name).write_bytes((tmp_path / "pytorch_model.bin").read_bytes())
    assert checkpoint.open_checkpoint(tmp_path).weights.files == (tmp_path / "pytorch_model.bin",)
    shutil.copy(golden("hf_bert_model") / "model.safetensors", tmp_path)
    assert checkpoint.open_checkpoint(tmp_path).weights.files == (tmp_path / "model.safetensors",)
