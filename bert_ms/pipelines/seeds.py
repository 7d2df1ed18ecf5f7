"""One configuration under several seeds: a run folder each, and the mean and deviation of their scores."""

from __future__ import annotations

import dataclasses
import gc
import json
import logging
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines.results import ALREADY, RunResult
from bert_ms.pipelines.training_run import train
from bert_ms.training.events import Hook
from bert_ms.training.files import write_file
from bert_ms.training.folder import CONFIG, RunFolder

logger = logging.getLogger(__name__)

SUMMARY = "seeds.json"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score of all runs that are finished.

    Attributes:
        mean: of the runs.
        deviation: standard deviation of the sample (n - 1); None of a single run.
        values: by seed.
    """

    mean: float
    deviation: float | None
    values: Mapping[int, float]


@dataclass(frozen=True, kw_only=True)
class SeedsResult:
    """What came of runs with several seeds.

    Attributes:
        folder: where the runs' folders and seeds.json are.
        runs: by seed, as far as they went.
        scores: by name, those that every finished run has.
        metric: the score that decides in each run.
        exit_status: for the shell: 0, or that of the run that did not end well.
    """

    folder: Path
    runs: Mapping[int, RunResult]
    scores: Mapping[str, Score] = field(default_factory=dict)
    metric: str | None = None
    exit_status: int = 0


def train_seeds(
    config: RunConfig,
    *,
    resume: bool = True,
    hooks: Sequence[Hook] = (),
    run: Callable[[RunConfig], RunResult] | None = None,
) -> SeedsResult:
    """Train once with each of `config.seeds`, one after the other; finished runs are not done again.

    Each run is the one that `train` makes of `seed=N` and its folder alone, whatever ran before it.

    Args:
        config: of the runs; `seed_N` in its output_dir gets the run with seed N.
        resume: False starts every run over.
        hooks: functions to call after every so many optimiser steps of each run.
        run: takes one run's configuration to its end; None trains in this process.

    Raises:
        ConfigError: there are no seeds, a single run is in output_dir, or as `train`.
        TrainingError: as `train`; runs that were finished before are kept.
    """
    if not config.seeds:
        raise ConfigError("seeds is []: expected some, for example seeds=[42,43,44].")
    folder = Path(config.output_dir).expanduser()
    RunFolder(folder).check_place()
    if (folder / CONFIG).exists():
        raise ConfigError(f"output_dir is {folder}, where a single run is: name another directory for several seeds.")
    run = run or (lambda one: train(one, resume=resume, hooks=hooks))
    results: dict[int, RunResult] = {}
    for number, seed in enumerate(config.seeds, 1):
        logger.info("seed %d, run %d of %d", seed, number, len(config.seeds))
        results[seed] = run(config_of(config, seed))
        gc.collect()  # networks and graphs are full of cycles
        found = _summed_up(folder, results)
        if found.exit_status:
            logger.warning("the run with seed %d did not end; the same command goes on from there", seed)
            return found
        write_file(folder / SUMMARY, json.dumps(_plain(found, config.seeds), indent=2) + "\n")
    return found


def config_of(config: RunConfig, seed: int) -> RunConfig:
    """The configuration of the run with one seed: `config` with its own seed and folder."""
    folder = Path(config.output_dir).expanduser() / f"seed_{seed}"
    return dataclasses.replace(config, seed=seed, seeds=(), output_dir=str(folder))


def result_in_folder(config: RunConfig, exit_status: int) -> RunResult:
    """What other processes left of a run, whose launcher ended with this status."""
    folder = RunFolder(Path(config.output_dir).expanduser())
    found = folder.result() if exit_status == 0 else None
    if found is None:
        return RunResult(status="failed", folder=folder.path, exit_status=exit_status or 1)
    return RunResult.of(folder.path, found)


def _summed_up(folder: Path, results: Mapping[int, RunResult]) -> SeedsResult:
    finished = {seed: result for seed, result in results.items() if result.exit_status == 0}
    names = [name for name in next((r.scores for r in finished.values()), {})
             if all(name in result.scores for result in finished.values())]  # fmt: skip
    scores = {}
    for name in names:
        values = {seed: result.scores[name] for seed, result in finished.items()}
        deviation = statistics.stdev(values.values()) if len(values) > 1 else None
        scores[name] = Score(mean=statistics.fmean(values.values()), deviation=deviation, values=values)
    return SeedsResult(
        folder=folder,
        runs=dict(results),
        scores=scores,
        metric=next((r.metric for r in results.values() if r.metric), None),
        exit_status=next((r.exit_status for r in results.values() if r.exit_status), 0),
    )


def _plain(found: SeedsResult, seeds: Sequence[int]) -> dict[str, Any]:
    """What seeds.json holds."""
    return {
        "seeds": list(seeds),
        "metric": found.metric,
        "scores": {
            name: {
                "mean": round(score.mean, 4),
                "deviation": None if score.deviation is None else round(score.deviation, 4),
                "values": {str(seed): value for seed, value in score.values.items()},
            }
            for name, score in found.scores.items()
        },
        "runs": {
            str(seed): {
                "folder": result.folder.name,
                "status": "finished" if result.status == ALREADY else result.status,
                "steps": result.steps,
                "best_step": result.best_step,
            }
            for seed, result in found.runs.items()
        },
    }
