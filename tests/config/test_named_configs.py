"""Every configuration that ships with the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import real_data
from bert_ms.config.loading import named_configs, resolve_config
from tests.support import REPOSITORY

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
HEADER = ("What", "Command", "Hardware", "Time", "Score")


def test_the_folder_holds_the_configurations_that_are_promised() -> None:
    assert {path.stem for path in CONFIGS} >= {
        "squad_sample",
        "squad_minilm",
        "squad_base",
        "squad_large",
        "squad_v2_base",
        "squad_nezha_base",
        "squad_nezha_large",
        "squad_base_ascend",
        "cmrc2018_base_chinese",
        "glue_cola",
        "glue_sst2",
        "glue_mrpc",
        "glue_stsb",
        "glue_qqp",
        "glue_mnli",
        "glue_qnli",
        "glue_rte",
        "glue_wnli",
        "xnli",
        "lcqmc",
        "chnsenticorp",
        "tnews",
        "swag",
        "text_classification_own",
        "ner_wnut17",
        "ner_bc5cdr",
        "ner_ncbi",
        "ner_conll",
        "ner_cluener",
        "ner_weibo",
        "ner_resume",
    }
    assert {name: path.name for name, path in named_configs().items()} == {p.stem: p.name for p in CONFIGS}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_read_without_a_problem(path: Path) -> None:
    config = resolve_config(path)
    assert config.data.train_file and config.data.eval_file
    assert config.output_dir == f"runs/{path.stem}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_begins_with_what_command_hardware_time_and_score(path: Path) -> None:
    comment = re.findall(r"^# (\w+) {2,}\S", path.read_text(), flags=re.MULTILINE)
    assert tuple(comment) == HEADER
    assert path.stem in path.read_text().partition("\ntask:")[0]


def test_the_reference_run_has_the_settings_of_its_twin() -> None:
    config = resolve_config("squad_minilm")
    assert (config.data.max_length, config.data.stride, config.data.windows) == (256, 128, "overlap")
    assert (config.training.batch_size, config.training.epochs, config.training.accumulate) == (16, 2.0, 1)
    optimizer = config.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 1e-4, 0.01)
    assert (optimizer.eps, optimizer.bias_correction, optimizer.max_grad_norm) == (1e-6, True, 1.0)
    assert (config.schedule.name, config.schedule.warmup_ratio) == ("linear", 0.1)


@pytest.mark.parametrize("name", ["mrpc", "sst2", "rte", "cola", "stsb", "wnut17", "bc5cdr"])
def test_real_data_has_the_settings_that_are_compared_with_the_peers(name: str) -> None:
    task = real_data.TASKS[name]
    config = resolve_config(task.config)
    assert (config.data.dataset, config.data.max_length) == (name, task.max_length)
    training, optimizer, schedule = config.training, config.optimizer, config.schedule
    assert (training.epochs, training.batch_size, training.accumulate) == (task.epochs, task.batch_size, 1)
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", task.learning_rate, 0.01)
    assert (optimizer.eps, optimizer.max_grad_norm) == (1e-6, 1.0)
    assert (schedule.name, schedule.warmup_ratio) == ("linear", 0.1)
