"""Runs with adapters, adversarial steps and R-Drop from end to end: what they leave, and that they resume exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms import tasks
from bert_ms.config import DataConfig, LoraConfig, LossConfig, ModelConfig, RegularizationConfig, RunConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines import loading, runs
from bert_ms.training.folder import ADAPTER
from tests.pipelines.test_runs import assert_same_end, config_for, final_arrays, source, with_evaluation

__all__ = ["source"]


class Stopped(Exception):
    """Raised in the middle of a run."""


def stop(_report: runs.StepReport) -> None:
    raise Stopped


def crafted(source: Path, folder: Path, name: str) -> RunConfig:
    config = with_evaluation(config_for(source, folder, questions=16, name=name, save_every=2), eval_every=4)
    return dataclasses.replace(
        config,
        lora=LoraConfig(rank=2, targets=("*.attention.query.weight", "*.feed_forward.output.weight")),
        regularization=RegularizationConfig(fgm_epsilon=0.5, r_drop_alpha=1.0),
    )


def test_adapters_with_two_kinds_of_second_passes_resume_exactly_and_are_published_merged(
    source, tmp_path, graph_mode
):
    whole, parts = (crafted(source, tmp_path, name) for name in ("whole", "parts"))
    result = runs.train(whole)
    with pytest.raises(Stopped):
        runs.train(parts, hooks=[runs.Hook(stop, every=3)])
    assert runs.train(parts).status == "finished"
    assert_same_end(Path(whole.output_dir), Path(parts.output_dir))

    # What learned: adapters and head; the encoder is as it came.
    ends, base = final_arrays(result.folder), bert_ms.from_pretrained(source, task="encoder")
    for parameter in base.get_parameters():
        if not parameter.name.startswith("pooler."):
            np.testing.assert_array_equal(ends[f"model.bert.{parameter.name}"], parameter.asnumpy())
    assert not [name for name in ends if name.startswith("model.") and name.endswith("lora_B") and not ends[name].any()]
    assert sum(name.startswith("optimizer.adam_m.") for name in ends) == 2 * 2 * 2 + 2

    # The merged network is one like any other; base and adapter together are the same.
    again = dataclasses.replace(whole, model=dataclasses.replace(whole.model, source=str(result.folder)))
    assert runs.evaluate(again).scores == result.scores
    merged = bert_ms.from_pretrained(result.folder, task="question-answering")
    adapted = bert_ms.from_pretrained(source, task="question-answering")
    bert_ms.merge_adapter(bert_ms.load_adapter(adapted, result.folder / ADAPTER))
    for one, other in zip(merged.get_parameters(), adapted.get_parameters(), strict=True):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy(), err_msg=one.name)
    assert "learning parameters" in (result.folder / "card.md").read_text(encoding="utf-8")


def test_a_dry_run_counts_what_learns(source, tmp_path, graph_mode):
    config = dataclasses.replace(config_for(source, tmp_path), lora=LoraConfig(rank=2))
    found = runs.dry_run(config)
    assert found.learning == 2 * 2 * (2 * 32 + 32 * 2) + 32 * 2 + 2
    assert found.megabytes["optimizer"] == pytest.approx(found.learning * 8 / 1e6, abs=0.06)


def test_what_the_task_has_no_use_for_is_refused_before_mindspore_starts(source, tmp_path):
    config = dataclasses.replace(config_for(source, tmp_path), loss=LossConfig(class_weights="balanced"))
    for command in (runs.train, lambda config: runs.check(config, "train")):
        with pytest.raises(ConfigError, match=r"loss\.class_weights: task 'question-answering' has no class labels"):
            command(config)
    assert not Path(config.output_dir).exists()


def test_balanced_weights_are_counted_in_the_training_file(source, tmp_path, graph_mode):
    rows = ["text\tlabel", *["a good film\tyes"] * 2, *["a bad film\tno"] * 6]
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    config = RunConfig(
        task="sequence-classification",
        model=ModelConfig(source=str(source)),
        data=DataConfig(train_file=str(tmp_path / "train.tsv"), text_column="text", label_column="label",
                        max_length=16, workers=1, cache_dir=str(tmp_path / "cache")),
        loss=LossConfig(class_weights="balanced"),
    )  # fmt: skip
    opened = loading.open_model(config)
    work = loading.load_work(config, opened)
    training = work.prepare(tmp_path / "train.tsv", "train")
    network = loading.load_network(config, opened, work)
    assert network.config.labels == ("no", "yes")
    minimised = loading.load_objective(network, tasks.get(config.task), config, training)
    np.testing.assert_allclose(minimised.loss.weights.asnumpy(), [[8 / 12, 8 / 4]])
