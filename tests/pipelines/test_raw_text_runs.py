"""Runs on raw text: networks drawn from scratch, folders and patterns of files, hidden words learned by heart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_ms.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PretrainingConfig,
    RunConfig,
    TrainingConfig,
)
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines import runs
from bert_ms.pipelines.loading import data_file, open_model
from tests import tiny
from tests.support import shared_data

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary, a configuration, and a folder of two files of text."""
    folder = tmp_path_factory.mktemp("given")
    words = tiny.vocabulary()
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"vocab_size": len(words), **SIZES}))
    (folder / "text").mkdir()
    lines = shared_data("corpus/sample_text.txt").read_text(encoding="utf-8").splitlines()
    (folder / "text" / "1.txt").write_text("\n".join(lines[:20]), encoding="utf-8")
    (folder / "text" / "2.txt").write_text("\n".join(lines[20:]), encoding="utf-8")
    return folder


def config_for(given: Path, folder: Path, *, task: str = "masked-lm", name: str = "run", **training) -> RunConfig:
    training = {"max_steps": 2, "epochs": 1000.0, "batch_size": 8, "evaluate_before": False, "tensorboard": False,
                "log_every": 1, **training}  # fmt: skip
    return RunConfig(
        task=task,
        output_dir=str(folder / name),
        model=ModelConfig(
            source="scratch", config=str(given / "config.json"), vocab=str(given / "vocab.txt"),
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        ),
        data=DataConfig(train_file=str(given / "text"), max_length=32, storage="memory"),
        optimizer=OptimizerConfig(learning_rate=3e-3),
        training=TrainingConfig(**training),
        evaluation=EvaluationConfig(batch_size=8),
    )  # fmt: skip


def changed(config: RunConfig, section: str, /, **values) -> RunConfig:
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


def test_a_network_from_scratch_follows_from_the_seed(given, tmp_path, graph_mode):
    config = config_for(given, tmp_path)
    first = runs.train(config)
    assert (first.status, first.steps) == ("finished", 2)
    again = runs.train(dataclasses.replace(config, output_dir=str(tmp_path / "again")))
    arrays = [load_file(r.folder / "checkpoints" / "step-2" / "model.safetensors") for r in (first, again)]
    assert set(arrays[0]) == set(arrays[1]) and "predictions.bias" in arrays[0]
    for key, array in arrays[0].items():
        np.testing.assert_array_equal(array, arrays[1][key], err_msg=key)
    kept = open_model(changed(config, "model", source=str(first.folder), config=None, vocab=None))
    assert kept.config.hidden_size == 32 and kept.tokenizer.vocab_size == len(tiny.vocabulary())


def test_hidden_words_are_learned_by_heart(given, tmp_path, graph_mode):
    config = config_for(given, tmp_path, max_steps=300)
    config = changed(config, "data", max_train_examples=8)
    config = dataclasses.replace(config, pretraining=PretrainingConfig(masking="static", dupe_factor=1))
    result = runs.train(config)
    losses = [json.loads(line).get("loss") for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    losses = [loss for loss in losses if loss is not None]
    assert losses[0] > 6 and losses[-1] < 0.1, losses[::10]


@pytest.mark.parametrize("missing", ["config", "vocab"])
def test_a_network_from_scratch_needs_sizes_and_a_vocabulary(given, tmp_path, missing):
    config = changed(config_for(given, tmp_path), "model", **{missing: None})
    with pytest.raises(ConfigError, match=f"model.source is scratch, and model.{missing} is not given"):
        open_model(config)


def test_a_vocabulary_that_is_not_there_is_named(given, tmp_path):
    config = changed(config_for(given, tmp_path), "model", vocab="nowhere.txt")
    with pytest.raises(ConfigError, match="model.vocab is nowhere.txt: there is no such file"):
        open_model(config)


def test_folders_and_patterns_are_files_of_raw_text_only(given, tmp_path):
    config = config_for(given, tmp_path)
    assert data_file(config, "train_file") == given / "text"
    pattern = changed(config, "data", train_file=str(given / "text" / "*.txt"))
    assert data_file(pattern, "train_file") == given / "text" / "*.txt"
    with pytest.raises(DataError, match=r"\*.md is no file, and no pattern that any file matches"):
        data_file(changed(config, "data", train_file=str(given / "text" / "*.md")), "train_file")
    with pytest.raises(ConfigError, match="a directory: name a file"):
        data_file(dataclasses.replace(changed(config, "data", stride=8), task="question-answering"), "train_file")


def test_preparing_says_what_there_is(given, tmp_path):
    config = config_for(given, tmp_path, task="pretraining")
    (found,) = runs.prepare(config).values()
    assert found["examples"] == 4 and found["rows"] > 20 and found["longest"] == 32


def test_a_dry_run_takes_a_step_of_each_kind(given, tmp_path, graph_mode):
    config = changed(config_for(given, tmp_path), "data", eval_file=str(given / "text" / "1.txt"))
    found = runs.dry_run(config)
    assert found.batch == (8, 32) and np.isfinite(found.loss) and found.evaluation_seconds is not None
    assert not Path(config.output_dir).exists()
