"""The tasks on raw text: from files to rows, and from the scorer's sums to scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bert_ms import tasks
from bert_ms.config import DataConfig, PretrainingConfig, RunConfig
from bert_ms.data.pretraining.rows import TextRows
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer
from tests import tiny
from tests.support import shared_data

TASKS = ("pretraining", "masked-lm", "causal-lm")


def work(task: str, seed: int = 1, **pretraining):
    data = DataConfig(max_length=64, storage="memory")
    config = RunConfig(task=task, seed=seed, data=data, pretraining=PretrainingConfig(**pretraining))
    return tasks.get(task).load("work")(config, Tokenizer.from_vocab(tiny.vocabulary()))


@pytest.fixture(scope="module")
def path() -> Path:
    return shared_data("corpus/sample_text.txt")


@pytest.mark.parametrize("task", TASKS)
def test_training_streams_and_evaluation_has_every_label_that_the_scorer_takes(task, path):
    training, evaluation = (work(task).prepare(path, purpose) for purpose in ("train", "evaluate"))
    assert isinstance(training.rows, TextRows) and isinstance(evaluation.rows, Features)
    assert set(evaluation.features.labels) == set(tasks.get(task).labels)
    batch = next(work(task).batches(training, batch_size=4, seed=1, rank=0, size=1).starting_at(0))
    assert set(tasks.get(task).labels) <= set(batch)
    assert len(training.examples) == 3


@pytest.mark.parametrize("task", TASKS)
def test_evaluation_is_of_the_same_words_whatever_the_seed(task, path):
    one, other = (work(task, seed=seed).prepare(path, "evaluate").features for seed in (1, 2))
    np.testing.assert_array_equal(one.input_ids, other.input_ids)
    for name, column in one.labels.items():
        np.testing.assert_array_equal(column, other.labels[name])


def test_static_masking_keeps_its_copies(path):
    dynamic = work("pretraining").prepare(path, "train")
    static = work("pretraining", masking="static", dupe_factor=3).prepare(path, "train")
    assert isinstance(static.rows, Features)
    assert len(static.rows) > 2.5 * len(dynamic.rows)
    batches = work("pretraining").batches(static, batch_size=4, seed=1, rank=0, size=1)
    assert set(tasks.get("pretraining").labels) <= set(next(batches.starting_at(0)))


def scores(task: str, **outputs: list[float]) -> dict[str, float]:
    made = work(task)
    arrays = {name: np.array(column, np.float32) for name, column in outputs.items()}
    return made.score(None, made.decode(None, arrays))


def test_masked_words_are_scored_word_by_word_not_row_by_row():
    found = scores("masked-lm", masked_loss_sum=[3.0, 1.0], masked_correct=[1, 2], masked_count=[6, 2])
    assert found == {"loss": 0.5, "perplexity": math.exp(0.5), "masked_lm_accuracy": 37.5, "total": 8}


def test_the_loss_of_pretraining_is_that_of_words_and_of_the_next_sentence():
    found = scores(
        "pretraining", masked_loss_sum=[3.0, 1.0], masked_correct=[1, 2], masked_count=[6, 2],
        next_sentence_loss=[0.5, 0.25], next_sentence_correct=[1, 0],
    )  # fmt: skip
    assert found["loss"] == 0.875 and found["masked_lm_loss"] == 0.5 and found["next_sentence_loss"] == 0.375
    assert found["next_sentence_accuracy"] == 50.0 and found["perplexity"] == math.exp(0.5)


def test_next_words_are_scored_word_by_word():
    found = scores("causal-lm", next_word_loss_sum=[3.0, 1.0], next_word_correct=[1, 2], next_word_count=[6, 2])
    assert found == {"loss": 0.5, "perplexity": math.exp(0.5), "next_word_accuracy": 37.5, "total": 8}


def test_the_metrics_that_may_decide_are_scores():
    assert set(tasks.get("masked-lm").metrics) <= set(
        scores("masked-lm", masked_loss_sum=[1.0], masked_correct=[1], masked_count=[6])
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_report_shows_the_hardest_rows_with_what_was_hidden(task, path):
    made = work(task)
    prepared = made.prepare(path, "evaluate")
    random = np.random.default_rng(0)
    count = len(prepared.features)
    predictions = [{made.summed[0]: loss, made.summed[1]: 2.0} for loss in random.uniform(1, 9, count)]
    chart, gallery = made.findings(prepared, predictions)
    assert sum(y for _, y in chart.series[0].points) == count
    worst = max(range(count), key=lambda row: predictions[row][made.summed[0]])
    assert gallery.exhibits[0].heading == f"Row {worst}" and gallery.count == count
    parts = gallery.exhibits[0].passages[0]
    assert not any("[MASK]" in part.text for part in parts)
    assert any(part.mark == "gold" for part in parts) == made.masks
