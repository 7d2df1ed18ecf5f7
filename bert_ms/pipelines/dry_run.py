"""Does it run, does it fit: one train and one evaluation step of the longest batches, with an estimate of memory."""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from dataclasses import dataclass

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.data.loader import Batches, EvaluationBatches
from bert_ms.errors import ConfigError
from bert_ms.pipelines.loading import data_file, load_network, load_tokenizer
from bert_ms.records import INPUT_NAMES
from bert_ms.training import memory
from bert_ms.training.session import start

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a dry run found.

    Attributes:
        device: that it ran on.
        batch: rows and tokens of the longest training batch.
        loss: of the one training step, whose weights are thrown away.
        compile_seconds: of the first training step, most of it spent compiling.
        step_seconds: of the second.
        evaluation_seconds: of the second evaluation step; None where there is no evaluation file.
        parameters: numbers in the network.
        megabytes: estimated, by what it is for; activations are a rough guess.
        peak_megabytes: measured for this process, MindSpore itself included; None where the system does not tell.
    """

    device: str
    batch: tuple[int, int]
    loss: float
    compile_seconds: float
    step_seconds: float
    evaluation_seconds: float | None
    parameters: int
    megabytes: dict[str, float]
    peak_megabytes: float | None


def dry_run(config: RunConfig) -> DryRun:
    """Train and evaluate one step on a few examples, padded to `data.max_length`; nothing is written.

    Raises:
        ConfigError: a value cannot be used, as in `runs.train`.
    """
    from bert_ms.model.losses import WithLoss
    from bert_ms.training.evaluation import outputs_of
    from bert_ms.training.updater import Updater

    task = tasks.get(config.task)
    train_file, eval_file = data_file(config, "train_file"), data_file(config, "eval_file")
    if train_file is None:
        raise ConfigError("data.train_file is not given: name the file to train on, or `sample`.")
    config = _small(config)
    session = start(config)
    tokenizer = load_tokenizer(config.model)
    work = task.load("work")(config, tokenizer)
    network = load_network(config)
    tokenizer.check_against(network.config.vocab_size)
    length, training = config.data.max_length, config.training
    rows = work.prepare(train_file, "train").rows
    batches = Batches(rows, batch_size=training.batch_size, seed=config.seed, buckets=(length,)).starting_at(0)
    columns = (*INPUT_NAMES, *task.labels)
    updater = Updater(WithLoss(network), config, total_steps=1000, unused=task.unused)
    seconds = []
    for step in range(2):
        began = time.perf_counter()
        taken = [next(batches) for _ in range(training.accumulate)]
        micro_batches = [[batch[column] for column in columns] for batch in taken]
        update = updater.update(step, micro_batches)
        seconds.append(time.perf_counter() - began)
    evaluation_seconds = None
    if eval_file is not None:
        prepared = work.prepare(eval_file, "evaluate")
        few = EvaluationBatches(prepared.features, batch_size=config.evaluation.batch_size, buckets=(length,))
        for _ in range(2):
            began = time.perf_counter()
            work.decode(prepared, outputs_of(network, few, prepared.features.row_splits, task))
            evaluation_seconds = (time.perf_counter() - began) / len(few)
    learning = updater.optimizer.parameters
    estimate = memory.estimate(
        network.config,
        parameters=sum(p.size for p in updater.parameters.values()),
        learning=sum(p.size for p in learning),
        slots=len(updater.optimizer.slots),
        batch_size=training.batch_size,
        length=length,
        dtype=config.precision.dtype,
        accumulate=training.accumulate,
    )
    return DryRun(
        device=session.device,
        batch=(training.batch_size, length),
        loss=update.loss,
        compile_seconds=round(seconds[0], 2),
        step_seconds=round(seconds[1], 3),
        evaluation_seconds=None if evaluation_seconds is None else round(evaluation_seconds, 3),
        parameters=sum(p.size for p in updater.parameters.values()),
        megabytes={n: round(v, 1) for n, v in (dataclasses.asdict(estimate) | {"total": estimate.total}).items()},
        peak_megabytes=_peak(),
    )


def _small(config: RunConfig) -> RunConfig:
    """Only as many examples as the steps need."""
    rows = config.training.batch_size * config.training.accumulate
    data = dataclasses.replace(
        config.data,
        max_train_examples=min(config.data.max_train_examples or rows, rows),
        max_eval_examples=min(config.data.max_eval_examples or 1 << 30, config.evaluation.batch_size),
    )
    return dataclasses.replace(config, data=data)


def _peak() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 0)
