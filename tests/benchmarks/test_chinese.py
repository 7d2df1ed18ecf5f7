"""The small Chinese BERT: what is held out stays out, both sides get the same commands, the table tells the scores."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import chinese, chinese_text
from benchmarks.chinese_table import SIDES, TASKS, table
from bert_ms.config import BertConfig
from bert_ms.config.loading import resolve_config
from bert_ms.data import datasets

OPTIONS = argparse.Namespace(data=Path("data"), work=Path("work"), threads=1)
RATES = TASKS["weibo"].rates
PRETRAINING = {
    "cpu_seconds": 1200.0,
    "threads": 1,
    "versions": "ours",
    "date": "today",
    "evaluations": [{"step": 9, "masked_lm_loss": 5.0, "masked_lm_accuracy": 20.0, "next_sentence_accuracy": 60.0}],
}


def result(side: str, seed: int, rate: float, score: float) -> dict[str, Any]:
    """One fine-tuning with this score."""
    return {"task": "weibo", "side": side, "seed": seed, "rate": rate, "score": score, "step": 5, "cpu_seconds": 9.0}


def test_held_out_reviews_are_in_no_text_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "chnsenticorp_train.tsv").write_text("label\ttext_a\n1\t好 书\n0\t坏书\n0\t坏 书\n1\t好酒店\n", "utf-8")
    (tmp_path / "chnsenticorp_dev.tsv").write_text("label\ttext_a\n1\t好书\n", "utf-8")
    (tmp_path / "cluener_train.json").write_text(json.dumps({"text": "新闻"}) + "\n", "utf-8")
    chinese_text.make(tmp_path, tmp_path / "out")
    assert (tmp_path / "out" / chinese_text.TRAIN).read_text("utf-8") == "坏书\n好酒店\n新闻\n"
    assert (tmp_path / "out" / chinese_text.DEV).read_text("utf-8") == "好书\n"
    assert (tmp_path / "out" / chinese_text.REVIEWS).read_text("utf-8") == "label\ttext_a\n0\t坏书\n1\t好酒店\n"


@pytest.mark.parametrize("task", list(TASKS))
def test_both_sides_differ_in_nothing_but_where_the_weights_come_from(task: str) -> None:
    sides = []
    for side in SIDES:
        _, _, name, *overrides = chinese.finetuning_command(task, side, 43, 6e-4, OPTIONS)
        config = resolve_config(name, overrides)
        known = datasets.get(config.data.dataset, task=config.task)
        assert known is not None and TASKS[task].metric in known.metrics
        model = [config.model.hidden_dropout_prob, config.model.attention_probs_dropout_prob, config.model.token_head]
        sides.append([config.data, config.optimizer, config.schedule, config.training, config.seed, model])
    assert sides[0] == sides[1]


def test_pretraining_takes_what_the_stages_before_it_made() -> None:
    _, _, name, *overrides = chinese.pretraining_command(Path("work"), 1)
    config = resolve_config(name, overrides)
    assert config.task == "pretraining" and config.model.source == "scratch"
    assert config.data.train_file == str(Path("work/text") / chinese_text.TRAIN)
    assert BertConfig.from_file(chinese.CONFIG).vocab_size == chinese.PIECES


def test_only_the_first_seed_tries_every_learning_rate() -> None:
    results = [result("random", 42, RATES[0], 20.0), result("random", 42, RATES[1], 30.0)]
    chosen = [chinese.choose(results, "weibo", "random", seed, first=42, number=n) for n in (0, 1) for seed in (42, 43)]
    assert chosen == [RATES[0], None, RATES[1], RATES[1]]


def test_each_side_is_told_by_its_better_learning_rate() -> None:
    results = [
        *(result("pretrained", 42, rate, score) for rate, score in zip(RATES, (40.0, 35.0), strict=True)),
        *(result("random", 42, rate, score) for rate, score in zip(RATES, (20.0, 25.0), strict=True)),
        result("pretrained", 43, RATES[0], 42.0),
        result("random", 43, RATES[1], 26.0),
    ]
    text = table(PRETRAINING, results)
    assert "| WeiboNER | f1 | 42, 43 | 41.00 (40.00, 42.00) | 25.50 (25.00, 26.00) | +15.50 |" in text
    assert "(20.0 minutes" in text and "| 9 | 5.000 | 20.00 | 60.00 |" in text


def test_sides_are_not_compared_before_each_has_tried_every_rate() -> None:
    results = [result(side, 42, RATES[0], 30.0) for side in SIDES]
    assert "| 30.00 | 30.00 | not all rates tried |" in table(PRETRAINING, results)


def test_time_that_was_not_recorded_is_not_told() -> None:
    assert "(processor time was not recorded" in table({**PRETRAINING, "cpu_seconds": None}, [])


def test_the_figures_name_no_folder_of_the_machine_that_made_them(tmp_path: Path) -> None:
    work, data = tmp_path / "made", tmp_path / "given"
    work.mkdir()
    options = argparse.Namespace(data=data, work=work, threads=1, output=tmp_path / "out")
    command = " ".join(["bert-ms", *chinese.pretraining_command(work, 1), f"data.eval_file={data / 'x'}"])
    (work / "pretraining.json").write_text(json.dumps({**PRETRAINING, "command": command}), "utf-8")
    assert "20.0 minutes" in chinese.report(options)
    told = json.loads((tmp_path / "out" / "chinese.json").read_text("utf-8"))["pretraining"]["command"]
    assert "vocab=WORK/vocabulary/vocab.txt" in told and "config=configs/bert_small_zh.json" in told
    assert "eval_file=DATA/x" in told and str(tmp_path) not in told
