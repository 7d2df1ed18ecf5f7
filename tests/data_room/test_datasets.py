"""The table of data sets keeps to the tasks, scores and labels that there are."""

from __future__ import annotations

import pytest

from bert_ms import tasks
from bert_ms.config.loading import named_configs, resolve_config
from bert_ms.data import datasets
from bert_ms.data.datasets import DATASETS, Dataset
from bert_ms.errors import ConfigError


def test_the_data_sets_that_are_promised_are_there() -> None:
    assert set(DATASETS) >= {
        "cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "xnli", "lcqmc", "chnsenticorp", "tnews",
        "swag",
    }  # fmt: skip


@pytest.mark.parametrize("row", DATASETS.values(), ids=DATASETS)
def test_a_row_fits_its_task(row: Dataset) -> None:
    task = tasks.get(row.task)
    assert row.metrics and set(row.metrics) <= set(task.metrics)
    assert len(set(row.labels)) == len(row.labels) != 1
    assert {label for _, label in row.aliases} <= set(row.labels)
    for layout in row.layouts:
        columns = [layout.text, layout.pair, layout.label, layout.id, *layout.choices]
        assert layout.has_header or all(column.isdecimal() for column in columns if column is not None)


def test_every_named_configuration_of_a_data_set_fits_it() -> None:
    found = {config.data.dataset: config.task for config in map(resolve_config, named_configs()) if config.data.dataset}
    assert len(found) >= 14
    for name, task in found.items():
        assert datasets.get(name, task=task) is not None


def test_an_unknown_name_and_another_task_are_told() -> None:
    with pytest.raises(ConfigError, match=r"unknown data.dataset 'mrcp': did you mean 'mrpc'\?"):
        datasets.get("mrcp", task="sequence-classification")
    with pytest.raises(ConfigError, match=r"'swag' is for task 'multiple-choice', not for 'next-sentence'. .* none"):
        datasets.get("swag", task="next-sentence")
    assert datasets.get(None, task="next-sentence") is None
