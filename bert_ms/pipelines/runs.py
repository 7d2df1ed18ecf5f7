"""Runs from one configuration: prepare, train, evaluate, predict, and a dry run. Every command ends up here."""

from __future__ import annotations

from pathlib import Path

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines.dry_run import DryRun, dry_run
from bert_ms.pipelines.loading import data_file, load_tokenizer, needed_file, open_model
from bert_ms.pipelines.results import RunResult
from bert_ms.pipelines.runners import by_one_process
from bert_ms.pipelines.scoring import evaluate, predict
from bert_ms.pipelines.seeds import SeedsResult, config_of, result_in_folder, train_seeds
from bert_ms.pipelines.training_run import resolved, train
from bert_ms.tasks.work import Purpose
from bert_ms.training.events import Hook, StepReport
from bert_ms.training.folder import RunFolder

_FILES: dict[Purpose, str] = {"train": "train_file", "evaluate": "eval_file", "predict": "predict_file"}

__all__ = [
    "DryRun",
    "Hook",
    "RunResult",
    "SeedsResult",
    "StepReport",
    "check",
    "config_of",
    "dry_run",
    "evaluate",
    "predict",
    "prepare",
    "result_in_folder",
    "train",
    "train_seeds",
]


def check(config: RunConfig, purpose: Purpose, *, backend: str = "auto") -> None:
    """Refuse what can be seen to be wrong without MindSpore, so that no workers are launched for it.

    Args:
        config: of the run.
        purpose: what is to be done.
        backend: as of `evaluate`.

    Raises:
        ConfigError: a value, file or folder that cannot be used.
        CheckpointError: weights that cannot be read.
        TokenizerError: a vocabulary that cannot be used, or is another model's.
    """
    needed_file(config, _FILES[purpose], purpose)
    resolved(config, tasks.get(config.task))
    if purpose == "train":
        data_file(config, "eval_file")
    RunFolder(Path(config.output_dir).expanduser()).check_place()
    opened = open_model(config, backend=None if purpose == "train" else backend)
    if opened.exported is not None:
        raise ConfigError(by_one_process(opened.exported))


def prepare(config: RunConfig) -> dict[str, dict[str, int]]:
    """Read and tokenise every file that the configuration names, into the cache.

    Returns:
        For each file its examples, rows, and tokens of the longest row.
    """
    work = tasks.get(config.task).load("work")(config, load_tokenizer(config.model))
    found = {}
    for purpose, key in _FILES.items():
        file = data_file(config, key)
        if file is not None:
            prepared = work.prepare(file, purpose)
            lengths = prepared.rows.lengths()
            longest = int(lengths.max(initial=0))
            found[str(file)] = {"examples": len(prepared.examples), "rows": len(lengths), "longest": longest}
    if not found:
        raise ConfigError("nothing to prepare: name data.train_file, data.eval_file or data.predict_file.")
    return found
