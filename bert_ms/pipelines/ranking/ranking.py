"""Checkpoints in the order in which they suit labelled data."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from bert_ms import compat, tasks
from bert_ms.config import INT8, RunConfig
from bert_ms.errors import BertMsError, CheckpointError, ConfigError, unknown
from bert_ms.hub import catalogue
from bert_ms.pipelines.ranking import labelled, measures, scores
from bert_ms.pipelines.ranking.results import TITLES, By, Candidate, Failure, Ranking
from bert_ms.pipelines.ranking.scores import Scores, logme_interval, probe_interval
from bert_ms.pipelines.ranking.vectors import FrozenVectors, vectors_of

logger = logging.getLogger(__name__)

Scored = tuple[str, FrozenVectors, Scores, float]  # source, what it made of the rows, its scores, seconds


def rank(
    config: RunConfig,
    sources: Sequence[str] = (),
    *,
    rows: int = 1000,
    by: By = "logme",
    watch: Callable[[str, int, int], None] | None = None,
) -> Ranking:
    """Score checkpoints, without training any, for the data that they are to be trained on.

    Each one's encoder is run over the same rows, and LogME and a linear probe say how well its vectors tell the labels
    apart. That is far quicker than training, and a forecast of it, no promise.

    Args:
        config: a run's: its task, `data.train_file` and how it is read, `seed`, `device`, `threads`.
        sources: directories, files, or catalogue names; none takes all models of the catalogue that are on this
            machine.
        rows: at most so many are drawn from the file.
        by: the score that decides.
        watch: called with a source, its rows done, and rows in all.

    Raises:
        ConfigError: the task is not ranked, or a value cannot be used.
        DataError: the file cannot be read, or tells too little.
        CheckpointError: none of the checkpoints could be scored; each one's reason is said.

    Source: You et al. 2021 (LogME); Alain and Bengio, "Understanding intermediate layers using linear classifier
        probes" (2016).
    """
    if by not in TITLES:
        raise ConfigError(unknown("score", by, TITLES))
    if config.precision.dtype == INT8:
        raise ConfigError(
            "precision.dtype is int8, and checkpoints are ranked as training begins with them: leave it out, or use "
            "float16."
        )
    data = labelled.read(config, rows)
    sources = list(dict.fromkeys(sources)) or _at_hand()
    measure = measures.measure_of(data, tasks.get(config.task).load("work").metric(config))
    compat.use_device(config.device, graph_mode=True, threads=config.threads)
    scored: list[Scored] = []
    failures: list[Failure] = []
    for source in sources:
        begun = time.perf_counter()
        try:
            found = vectors_of(source, data, config, watch=_counted(watch, source, len(data.examples)))
            made = scores.score(found.by_kind, data, measure, seed=config.seed)
            scored.append((source, found, made, time.perf_counter() - begun))
        except (BertMsError, MemoryError, RuntimeError) as error:
            if not isinstance(error, BertMsError) and not compat.is_out_of_memory(error):
                raise
            reason = str(error) if isinstance(error, BertMsError) else "memory ran out"
            logger.debug("%s is left out: %s", source, reason)  # the ranking tells it too
            failures.append(Failure(source, reason))
        gc.collect()  # a network's memory, before the next one is read
    if not scored:
        reasons = "\n".join(f"  - {failure.source}: {failure.reason}" for failure in failures)
        raise CheckpointError(f"none of {len(failures)} checkpoints could be scored:\n{reasons}")
    return Ranking(
        task=config.task,
        file=str(config.data.train_file),
        rows=len(data.examples),
        available=data.available,
        points=len(data.owner),
        labels=len(data.labels),
        by=by,
        measure=measure.name,
        without_vectors=measures.without_vectors(measure, data),
        candidates=_in_order(scored, by),
        failures=failures,
    )


def _at_hand() -> list[str]:
    """Names of the catalogue whose files are on this machine.

    Raises:
        CheckpointError: there are none.
    """
    found = [name for name, model in catalogue.models().items() if catalogue.is_here(model)]
    if not found:
        raise CheckpointError("no model of the catalogue is on this machine: name checkpoints, or see bert-ms hub list")
    return found


def _counted(watch: Callable[[str, int, int], None] | None, source: str, rows: int) -> Callable[[int], None] | None:
    """A watcher of batches that adds them up; windows of long rows count as rows, up to their number."""
    if watch is None:
        return None
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done = min(done + more, rows)
        watch(source, done, rows)

    return count


def _in_order(scored: Sequence[Scored], by: By) -> list[Candidate]:
    def value(one: Scored) -> float:
        return one[2].logme if by == "logme" else one[2].probe

    ordered = sorted(scored, key=value, reverse=True)
    best = ordered[0][2]
    return [_candidate(best, *one) for one in ordered]


def _candidate(best: Scores, source: str, found: FrozenVectors, made: Scores, seconds: float) -> Candidate:
    shared: dict[str, Any] = {"source": source, "parameters": found.parameters, "unknown": found.unknown}
    return Candidate(
        **shared,
        vectors=made.vectors,
        logme=logme_interval(made.logme, made.without_part),
        probe=probe_interval(made.probe, made.redrawn),
        behind=logme_interval(best.logme - made.logme, best.without_part - made.without_part),
        probe_behind=probe_interval(best.probe - made.probe, best.redrawn - made.redrawn),
        by_vectors=made.by_vectors,
        width=found.by_kind[made.vectors].shape[1],
        seconds=seconds,
    )
