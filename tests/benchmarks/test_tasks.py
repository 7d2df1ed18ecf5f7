"""Our side of the task comparison trains by the settings of the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import real_data, tasks
from bert_ms.config.loading import resolve_config
from bert_ms.data import datasets


@pytest.mark.parametrize("name", list(real_data.TASKS))
def test_our_command_has_the_settings_that_the_peer_has(name: str) -> None:
    task = real_data.TASKS[name]
    _, _, config_name, *overrides = tasks.our_command(name, 43, Path("splits"), Path("runs"), 1)
    config = resolve_config(config_name, overrides)
    training, optimizer = config.training, config.optimizer
    assert (training.epochs, training.batch_size) == (task.epochs, task.batch_size)
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", task.learning_rate, 0.01)
    assert (config.data.max_length, config.seed, config.threads) == (task.max_length, 43, 1)
    assert config.data.train_file == str(real_data.files(name, Path("splits"))[0])
    assert config.model.source == "minilm"
    known = datasets.get(config.data.dataset, task=config.task)
    assert known is not None and task.metric in known.metrics


def test_evaluation_lines_give_scores_alone() -> None:
    line = {"kind": "eval", "step": 5, "epoch": 1.0, "seconds": 2.0, "f1": 90.0, "accuracy": 88.5}
    assert {name for name, value in line.items() if tasks._is_score(name, value)} == {"f1", "accuracy"}
