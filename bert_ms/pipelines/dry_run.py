"""Does it run, does it fit: one train and one evaluation step of the longest batches, with an estimate of memory."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.data.loader import EvaluationBatches
from bert_ms.pipelines.loading import (
    data_file,
    load_learner,
    load_objective,
    load_work,
    needed_file,
    open_model,
)
from bert_ms.pipelines.runners import CellRunner, Runner, load_runner, start_session
from bert_ms.records import INPUT_NAMES
from bert_ms.tasks import Task
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.training import memory
from bert_ms.training.folder import RunFolder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a dry run found. What is of training is None where only evaluation or prediction was tried.

    Attributes:
        device: that it ran on.
        backend: what ran the network: cell, onnx or mindir.
        batch: rows and tokens of the longest batch: of training, else of evaluation.
        loss: of the one training step, whose weights are thrown away.
        compile_seconds: of the first training step, most of it spent compiling.
        step_seconds: of the second.
        evaluation_seconds: of the second evaluation step; None where there is no evaluation file.
        parameters: numbers in the network; None where it was exported.
        learning: those of them that training changes.
        megabytes: estimated for training, by what it is for; activations are a rough guess.
        peak_megabytes: measured for this process, MindSpore itself included; None where the system does not tell.
    """

    device: str
    backend: str = "cell"
    batch: tuple[int, int]
    loss: float | None = None
    compile_seconds: float | None = None
    step_seconds: float | None = None
    evaluation_seconds: float | None = None
    parameters: int | None = None
    learning: int | None = None
    megabytes: Mapping[str, float] = field(default_factory=dict)
    peak_megabytes: float | None = None


def dry_run(config: RunConfig, *, purpose: Purpose = "train", backend: str = "auto") -> DryRun:
    """Run one step on a few examples, padded to `data.max_length`; nothing is written.

    Args:
        config: of the run.
        purpose: "train" takes a train step and, if there is `data.eval_file`, an evaluation step; "evaluate" and
            "predict" one evaluation step on their own file.
        backend: what runs a network that is not trained: cell, onnx or mindir; auto takes whichever the source is for.

    Raises:
        ConfigError: a value cannot be used, as in `runs.train`, `runs.evaluate` and `runs.predict`.
    """
    task = tasks.get(config.task)
    train_file = needed_file(config, "train_file", "train") if purpose == "train" else None
    if purpose == "train":
        eval_file = data_file(config, "eval_file")
    else:
        eval_file = needed_file(config, f"{purpose}_file".replace("evaluate", "eval"), purpose)
    RunFolder(Path(config.output_dir).expanduser()).check_place()
    config = _small(config)
    opened = open_model(config, backend=None if purpose == "train" else backend)
    session, runs = start_session(config, opened)
    work = load_work(config, opened)
    if train_file is not None:
        training = work.prepare(train_file, "train")
        network = load_learner(config, opened, work)
        runner: Runner = CellRunner(network, task, precision=config.precision.dtype)
        found = _train_steps(config, task, work, network, training)
    if eval_file is not None:
        prepared = work.prepare(eval_file, "predict" if purpose == "predict" else "evaluate")
        if train_file is None:
            runner, found = load_runner(config, opened, work, runs), {}
        found["evaluation_seconds"] = _evaluation_step(config, work, runner, prepared)
        found.setdefault("batch", (config.evaluation.batch_size, config.data.max_length))
    found |= {"device": session.device, "parameters": runner.parameters, "backend": runner.format}
    return DryRun(**found, peak_megabytes=_peak())


def _train_steps(config: RunConfig, task: Task, work: Work, network: Any, prepared: Prepared) -> dict[str, Any]:
    """What two train steps take, by names of `DryRun`."""
    from bert_ms.training.updater import Updater

    length, training = config.data.max_length, config.training
    batches = work.batches(prepared, batch_size=training.batch_size, seed=config.seed, rank=0, size=1).starting_at(0)
    columns = (*INPUT_NAMES, *task.labels)
    minimised = load_objective(network, task, config, prepared)
    updater = Updater(minimised, config, total_steps=1000, unused=task.unused)
    seconds = []
    for step in range(2):
        began = time.perf_counter()
        taken = [next(batches) for _ in range(training.accumulate)]
        micro_batches = [[batch[column] for column in columns] for batch in taken]
        update = updater.update(step, micro_batches)
        seconds.append(time.perf_counter() - began)
    learning = updater.optimizer.parameters
    rows = micro_batches[0][0].size // length  # of multiple choice several an example
    estimate = memory.estimate(
        network.config,
        parameters=sum(p.size for p in updater.parameters.values()),
        learning=sum(p.size for p in learning),
        slots=len(updater.optimizer.slots),
        batch_size=2 * rows if config.regularization.r_drop_alpha > 0 else rows,  # two passes at once
        length=length,
        dtype=config.precision.dtype,
        accumulate=training.accumulate,
    )
    megabytes = dataclasses.asdict(estimate) | {"total": estimate.total}
    return {
        "batch": (rows, length),
        "loss": update.loss,
        "compile_seconds": round(seconds[0], 2),
        "step_seconds": round(seconds[1], 3),
        "learning": sum(p.size for p in learning),
        "megabytes": {name: round(value, 1) for name, value in megabytes.items()},
    }


def _evaluation_step(config: RunConfig, work: Work, runner: Runner, prepared: Prepared) -> float:
    """Seconds of an evaluation step, compiling left out."""
    length = config.data.max_length
    few = EvaluationBatches(prepared.features, batch_size=config.evaluation.batch_size, buckets=(length,))
    for _ in range(2):
        began = time.perf_counter()
        work.decode(prepared, runner.outputs(few, prepared.features.group_splits()))
        seconds = (time.perf_counter() - began) / len(few)
    return round(seconds, 3)


def _small(config: RunConfig) -> RunConfig:
    """Only as many examples as the steps need."""
    rows = config.training.batch_size * config.training.accumulate
    data = dataclasses.replace(
        config.data,
        max_train_examples=min(config.data.max_train_examples or rows, rows),
        max_eval_examples=min(config.data.max_eval_examples or 1 << 30, config.evaluation.batch_size),
        buckets=(config.data.max_length,),
    )
    return dataclasses.replace(config, data=data)


def _peak() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 0)
