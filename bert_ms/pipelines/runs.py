"""Runs from one configuration: prepare, train, evaluate, predict, and a dry run. Every command ends up here."""

from __future__ import annotations

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines.dry_run import DryRun, dry_run
from bert_ms.pipelines.loading import data_file, load_tokenizer
from bert_ms.pipelines.results import RunResult
from bert_ms.pipelines.scoring import evaluate, predict
from bert_ms.pipelines.training_run import train
from bert_ms.tasks.work import Purpose
from bert_ms.training.events import Hook, StepReport

__all__ = ["DryRun", "Hook", "RunResult", "StepReport", "dry_run", "evaluate", "predict", "prepare", "train"]


def prepare(config: RunConfig) -> dict[str, dict[str, int]]:
    """Read and tokenise every file that the configuration names, into the cache.

    Returns:
        For each file its examples, rows, and tokens of the longest row.
    """
    work = tasks.get(config.task).load("work")(config, load_tokenizer(config.model))
    purposes: dict[str, Purpose] = {"train_file": "train", "eval_file": "evaluate", "predict_file": "predict"}
    found = {}
    for key, purpose in purposes.items():
        file = data_file(config, key)
        if file is not None:
            prepared = work.prepare(file, purpose)
            lengths = prepared.rows.lengths()
            longest = int(lengths.max(initial=0))
            found[str(file)] = {"examples": len(prepared.examples), "rows": len(lengths), "longest": longest}
    if not found:
        raise ConfigError("nothing to prepare: name data.train_file, data.eval_file or data.predict_file.")
    return found
