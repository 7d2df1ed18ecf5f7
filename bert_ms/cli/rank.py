"""`bert-ms hub rank`: which checkpoint to start from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from bert_ms.config import RunConfig
from bert_ms.config.loading import resolve_config
from bert_ms.errors import ConfigError
from bert_ms.pipelines.ranking import Interval, Ranking, rank

_USUAL_LENGTH = "data.max_length=128"  # of runs without a configuration: their 384 is for passages


def show(arguments: argparse.Namespace) -> int:
    """Rank, and print a table with what follows from it; 1 where a checkpoint had to be left out."""
    overrides = [item for item in arguments.given if _is_override(item)]
    sources = [item for item in arguments.given if not _is_override(item)]
    config = _config(arguments, overrides)
    with tqdm(unit=" rows", disable=arguments.quiet or None, leave=False) as bar:

        def watch(source: str, done: int, rows: int) -> None:
            bar.total = rows
            bar.set_description(source, refresh=False)
            bar.n = done
            bar.refresh()

        found = rank(config, sources, rows=arguments.rows, by=arguments.by, watch=watch)
    print(json.dumps(found.to_dict(), indent=2) if arguments.json else table(found))
    return 1 if found.failures else 0


def table(found: Ranking) -> str:
    """The ranking as text: what it is of, a line a checkpoint, those left out, and the verdict."""
    drawn = f"{found.rows:,} of {found.available:,}" if found.rows < found.available else f"all {found.rows:,}"
    words = f", {found.points:,} words" if found.points != found.rows else ""
    labels = f"{found.labels} labels" if found.labels else "numbers"
    head = ("", "checkpoint", "LogME", f"probe: {found.measure}", "vectors", "parameters", "unknown", "seconds")
    rows = [head]
    for place, candidate in enumerate(found.candidates, 1):
        rows.append((
            str(place),
            candidate.source,
            _with_interval(candidate.logme, 4),
            _with_interval(candidate.probe, 1),
            f"{candidate.vectors} {candidate.width}",
            f"{candidate.parameters / 1e6:.3g} M",
            f"{candidate.unknown:.1f} %",
            f"{candidate.seconds:.1f}",
        ))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [f"{found.task}, {found.file}: {drawn} rows{words}, {labels}"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append(f"Without vectors the probe has {found.without_vectors:.1f}. In brackets: 95 % intervals.")
    lines += [f"left out: {failure.source}: {failure.reason}" for failure in found.failures]
    return "\n".join([*lines, found.verdict])


def _with_interval(interval: Interval, digits: int) -> str:
    return f"{interval.value:.{digits}f} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def _is_override(item: str) -> bool:
    return "=" in item and not Path(item).expanduser().exists()


def _config(arguments: argparse.Namespace, overrides: list[str]) -> RunConfig:
    """The run's configuration; what is said by options goes before it, and key=value before both."""
    if arguments.config is None and arguments.task is None:
        raise ConfigError("neither --task nor -c is given: say for what, for example --task sequence-classification.")
    usual = [_USUAL_LENGTH] if arguments.config is None else []
    said = [f"task={arguments.task}"] if arguments.task is not None else []
    if arguments.data is not None:
        said.append(f"data.train_file={arguments.data}")
    config = resolve_config(arguments.config, [*usual, *said, *overrides])
    if config.data.train_file is None:
        raise ConfigError("--data is not given: name the file of labelled rows.")
    return config
