"""Runs from one configuration: prepare, train, evaluate, predict, and a dry run. Every command ends up here."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.data.loader import Batches
from bert_ms.errors import ConfigError, TrainingError
from bert_ms.pipelines.conclusion import Concluded, conclude, write_scores
from bert_ms.pipelines.dry_run import DryRun, dry_run
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.pipelines.loading import data_file, load_network, load_tokenizer
from bert_ms.records import INPUT_NAMES
from bert_ms.tasks import Task
from bert_ms.tasks.work import Purpose, Work
from bert_ms.training.distributed import Distributed
from bert_ms.training.folder import CONFIG, RunFolder
from bert_ms.training.lock import run_lock
from bert_ms.training.recorder import Recorder
from bert_ms.training.session import Session, start
from bert_ms.training.signals import StopRequest, stop_on_signals
from bert_ms.training.state import CheckpointStore, ResumePoint
from bert_ms.training.trainer import INTERRUPTED, Interrupted, Outcome, Trainer, best_weights, total_steps

__all__ = ["DryRun", "RunResult", "dry_run", "evaluate", "predict", "prepare", "train"]

logger = logging.getLogger(__name__)

ALREADY = "finished before"
LOG = "train.log"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came of a run.

    Attributes:
        status: finished, stopped early, interrupted, or finished before.
        folder: where everything is.
        steps: optimiser steps done.
        best_step: after which the best weights were found; None where nothing was evaluated.
        metric: the score that decides.
        scores: of the best weights.
        before: scores of the weights as they came.
        seconds: where the time went.
        exit_status: for the shell: 0, or 128 + the number of the signal that ended it.
    """

    status: str
    folder: Path
    steps: int = 0
    best_step: int | None = None
    metric: str | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    before: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    exit_status: int = 0


def prepare(config: RunConfig) -> dict[str, dict[str, int]]:
    """Read and tokenise every file that the configuration names, into the cache.

    Returns:
        For each file its examples, rows, and tokens of the longest row.
    """
    work = _work(config, tasks.get(config.task))
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


def train(config: RunConfig, *, resume: bool = True) -> RunResult:
    """Fine-tune, evaluate, and leave a run folder; an unfinished run in that folder is continued.

    Args:
        config: of the run.
        resume: False starts the folder over.

    Raises:
        ConfigError: a value cannot be used, or the folder holds a run with another configuration.
        TrainingError: the folder is in use by another process, or the run cannot go on.
    """
    task = tasks.get(config.task)
    config = resolved(config, task)
    train_file, eval_file = data_file(config, "train_file"), data_file(config, "eval_file")
    if train_file is None:
        raise ConfigError("data.train_file is not given: name the file to train on, or `sample`.")
    folder = RunFolder(Path(config.output_dir).expanduser())
    if resume:
        folder.check(config)
        if (found := folder.result()) is not None:
            logger.info("%s holds this run, finished: nothing is left to do (--fresh starts it over)", folder.path)
            return _result(folder, {**found, "status": ALREADY})
    with stop_on_signals() as stop, ExitStack() as stack:
        session = start(config)
        workers = session.distributed
        if workers.is_main:
            stack.enter_context(run_lock(folder.path))
            if not resume:
                folder.clear()
            folder.check(config)
            folder.claim(config)
            stack.enter_context(_log_file(folder.path / LOG))
        return _train(config, task, folder, session, stop, train_file, eval_file)


def _train(
    config: RunConfig,
    task: Task,
    folder: RunFolder,
    session: Session,
    stop: StopRequest,
    train_file: Path,
    eval_file: Path | None,
) -> RunResult:
    from bert_ms.model.losses import WithLoss
    from bert_ms.training.updater import Updater

    workers = session.distributed
    tokenizer = load_tokenizer(config.model)
    work = task.load("work")(config, tokenizer)
    training = work.prepare(train_file, "train")
    network = load_network(config)
    tokenizer.check_against(network.config.vocab_size)
    if workers.size > 1:
        workers.check_equal({p.name: p.asnumpy() for p in network.get_parameters()})
    evaluator = None
    if eval_file is not None:
        prepared = work.prepare(eval_file, "evaluate")
        evaluator = Evaluator(network, task, work, prepared, config, distributed=workers, stop=stop)
    batches = Batches(
        training.rows,
        batch_size=config.training.batch_size,
        seed=config.seed,
        buckets=config.data.buckets,
        rank=workers.rank,
        size=workers.size,
    )
    steps = total_steps(config.training, batches.per_epoch)
    updater = Updater(WithLoss(network), config, total_steps=steps, unused=task.unused, distributed=workers)
    store = CheckpointStore(folder.checkpoints, keep_last=config.training.keep_last)
    with _recorder(config, folder, is_main=workers.is_main) as recorder:
        trainer = Trainer(
            updater,
            batches,
            (*INPUT_NAMES, *task.labels),
            config,
            store,
            evaluate=evaluator,
            keep=None if evaluator is None else lambda step: evaluator.keep(folder.checkpoints, step),
            metric=config.training.metric,
            recorder=recorder,
            distributed=workers,
        )
        if workers.is_main:
            store.clean()
        workers.barrier()
        point = _newest(store, workers)
        if point is not None:
            logger.info("going on from %s", point.path)
            trainer.restore(point)
        outcome = trainer.run(stop)
        if outcome.reason == INTERRUPTED:
            return _interrupted(folder, outcome, config, stop)
        try:
            _take_best(trainer, evaluator, recorder, outcome)
        except Interrupted:
            return _interrupted(folder, outcome, config, stop)
        seconds = recorder.seconds()
    if not workers.is_main:
        return _result(folder, {"status": outcome.reason, "steps": outcome.step, "best_step": outcome.best_step})
    concluded = Concluded(
        config=config,
        folder=folder,
        network=network,
        tokenizer=tokenizer,
        outcome=outcome,
        training=training,
        evaluator=evaluator,
        seconds=seconds,
        device=session.device,
        workers=workers.size,
    )
    return _result(folder, conclude(concluded))


def evaluate(config: RunConfig) -> RunResult:
    """Score the weights of `model.source` on `data.eval_file`; writes predictions and eval.json."""
    return _run_network(config, "eval_file", "evaluate")


def predict(config: RunConfig) -> RunResult:
    """Answer what is in `data.predict_file`; writes predictions."""
    return _run_network(config, "predict_file", "predict")


def _run_network(config: RunConfig, key: str, purpose: Purpose) -> RunResult:
    task = tasks.get(config.task)
    config = resolved(config, task)
    file = data_file(config, key)
    if file is None:
        raise ConfigError(f"data.{key} is not given: name the file to {purpose}.")
    folder = _folder_beside_runs(Path(config.output_dir).expanduser(), purpose)
    began = time.monotonic()
    with stop_on_signals() as stop:
        session = start(config)
        work = _work(config, task)
        network = load_network(config)
        work.tokenizer.check_against(network.config.vocab_size)
        prepared = work.prepare(file, purpose)
        evaluator = Evaluator(network, task, work, prepared, config, distributed=session.distributed, stop=stop)
        is_main = session.distributed.is_main
        with Recorder(is_shown=is_main) as recorder:
            recorder.show_alone()
            try:
                evaluator.run(recorder)
            except Interrupted:
                return RunResult(status=INTERRUPTED, folder=folder, exit_status=stop.exit_status or 143)
    scores = work.score(prepared, evaluator.predictions) if purpose == "evaluate" else {}
    if is_main:
        work.write(folder, prepared, evaluator.predictions)
        if scores:
            write_scores(folder, scores, {"eval_file": str(file), "source": config.model.source})
    return RunResult(
        status="finished",
        folder=folder,
        metric=config.training.metric,
        scores=rounded(scores),
        seconds={purpose: round(time.monotonic() - began, 1)},
    )


def resolved(config: RunConfig, task: Task) -> RunConfig:
    """The configuration with what the task decides filled in."""
    if config.training.metric is not None:
        return config
    return dataclasses.replace(config, training=dataclasses.replace(config.training, metric=task.metric))


def _newest(store: CheckpointStore, workers: Distributed) -> ResumePoint | None:
    """The checkpoint to go on from, the same for all workers."""
    point = store.latest()
    steps = [int(each[0]) for each in workers.gather(np.array([-1 if point is None else point.step], np.int64))]
    if len(set(steps)) > 1:
        raise TrainingError(
            f"workers see different newest checkpoints in {store.directory} (steps {steps}, -1 is none): "
            f"output_dir must be the same shared folder on every machine."
        )
    return point


def _take_best(trainer: Trainer, evaluator: Evaluator | None, recorder: Recorder, outcome: Outcome) -> None:
    """Put the best weights back into the network, and their predictions into the evaluator."""
    from safetensors.numpy import load_file

    from bert_ms.training.updater import set_parameters

    if evaluator is None:
        return
    path = best_weights(trainer.store)
    if path is not None:
        set_parameters(trainer.updater.parameters, load_file(path))
    is_known = evaluator.recall(trainer.store.directory, outcome.best_step)
    if not trainer.distributed.all(is_known):
        evaluator.run(recorder)


def _work(config: RunConfig, task: Task) -> Work:
    work: Work = task.load("work")(config, load_tokenizer(config.model))
    return work


def _recorder(config: RunConfig, folder: RunFolder, *, is_main: bool) -> Recorder:
    if not is_main:
        return Recorder()
    training = config.training
    return Recorder(folder.path, is_shown=True, log_every=training.log_every, tensorboard=training.tensorboard)


def _folder_beside_runs(path: Path, purpose: str) -> Path:
    """`path`, or a folder in it where a training run has its own files there."""
    return path / purpose if (path / CONFIG).exists() else path


def _interrupted(folder: RunFolder, outcome: Outcome, config: RunConfig, stop: StopRequest) -> RunResult:
    logger.warning("interrupted after step %d; the same command goes on from there (%s)", outcome.step, folder.path)
    return RunResult(
        status=INTERRUPTED,
        folder=folder.path,
        steps=outcome.step,
        best_step=outcome.best_step,
        metric=config.training.metric,
        exit_status=stop.exit_status or 143,
    )


def _result(folder: RunFolder, values: Mapping[str, Any]) -> RunResult:
    known = {f.name for f in dataclasses.fields(RunResult)}
    return RunResult(folder=folder.path, **{name: value for name, value in values.items() if name in known})


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """What the package logs also goes to a file, from a run's first start to its end."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("bert_ms")
    level = package.level
    package.addHandler(handler)
    if not package.isEnabledFor(logging.INFO):
        package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)
        handler.close()
