"""The bare engine: rows a second through one engine process, without HTTP or texts.

    python benchmarks/serving_engine.py minilm
    python benchmarks/serving_engine.py runs/squad_sample --lengths 32,384,zipf --seconds 20 --json engine.json

First full batches of the best shapes, one after the other, made beforehand: what a server can reach at most. Then rows
from the server's queue, of which so many (`--clients`) wait or are computed at a time, each followed by another one
when it is answered: what is left where there are no more of them. Compare with the rows a second of `serving_load.py`
on the same model and `max_length`.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import load_texts
from bert_ms.hub import catalogue
from serving.engine.process import EngineProcess
from serving.scheduling.queue import Batch, RowQueue
from serving.scheduling.rows import Row, Submission
from serving.scheduling.starting import Started, bring_up
from serving.service import Call
from serving.spec import ModelSpec

ROWS = 256  # that are put into batches together: what a busy server finds waiting
LEARN_SECONDS = 5.0
MOST_SHAPES = 4  # that are named, the most frequent first


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure, print a table, and write what is to be written."""
    options = _parser().parse_args(arguments)
    began = time.perf_counter()
    with bare(options.model, task=options.task, engine=options.engine, threads=options.threads,
              longest=options.max_length) as (engine, started):  # fmt: skip
        ready = time.perf_counter() - began
        results = [
            measure(engine, started, length, options.seconds, clients)
            for length in options.lengths
            for clients in (0, *options.clients)
        ]
    print(f"ready after {ready:.1f} s, {len(started.costs.warmed)} shapes")
    print(table(results))
    if options.json:
        about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
                 "cpus": os.cpu_count(), "model": options.model, "ready_seconds": ready,
                 "shape_seconds": {f"{b}x{s}": v for (b, s), v in started.costs.warmed.items()},
                 "results": results}  # fmt: skip
        options.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return results


@contextlib.contextmanager
def bare(
    model: str, *, task: str | None = None, engine: str = "auto", threads: int | None = None, longest: int | None = None
) -> Iterator[tuple[EngineProcess, Started]]:
    """An engine process that is warm, and what it said of its shapes.

    Args:
        model: a directory or a catalogue name.
        task: whose network is run; None is the checkpoint's own.
        engine: auto, cell or onnx.
        threads: of one operator.
        longest: tokens of the longest row.
    """
    spec = ModelSpec(name="bare", source=model, threads=threads, engine=engine)
    job = {"task": task, "engine": spec.engine, "device": spec.device, "dtype": None, "threads": spec.threads,
           "allow_new_head": False, "source": str(catalogue.resolve(model).resolve())}  # fmt: skip
    process = EngineProcess(job)
    try:
        yield process, bring_up(process, spec, before=None, longest=longest, accept=lambda hello: None,
                                say=lambda reason: print(reason, file=sys.stderr))  # fmt: skip
    finally:
        process.close()


def measure(engine: EngineProcess, started: Started, length: str, seconds: float, clients: int) -> dict[str, Any]:
    """Rows and tokens a second of rows of a length, or of a mix of lengths; of a full queue where `clients` is 0."""
    load = _Load(started, length)
    ran = _full(engine, load, seconds) if not clients else _closed(engine, load, seconds, clients)
    spent = ran.pop("seconds")
    tokens, shapes = ran.pop("tokens"), [shape for shape, _ in ran.pop("shapes").most_common(MOST_SHAPES)]
    return {"length": length, "clients": clients, "rows_per_second": ran["rows"] / spent,
            "tokens_per_second": tokens / spent, "padding": 1 - tokens / ran["padded"],
            "shapes": [f"{rows}x{size}" for rows, size in shapes]}  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """The results for people."""
    lines = ["| tokens | waiting | rows/s | tokens/s | padding | shapes |", "|---|---|---|---|---|---|"]
    for one in results:
        lines.append(
            f"| {one['length']} | {one['clients'] or 'full queue'} | {one['rows_per_second']:.1f} | "
            f"{one['tokens_per_second']:.0f} | {one['padding']:.0%} | {', '.join(one['shapes'])} |"
        )
    return "\n".join(lines)


class _Load:
    """Rows of a length, or of a mix, and the server's queue for them."""

    def __init__(self, started: Started, length: str):
        self.costs, self._hello = started.costs, started.hello
        self.queue = RowQueue(self.costs, max_items=2 * ROWS, max_tokens=ROWS * 8192, max_seconds=1e9)
        self._rng, self._lengths = np.random.default_rng(0), load_texts.lengths(length, random.Random(0))

    def ask(self, count: int) -> None:
        """So many more rows."""
        for _ in range(count):
            size = min(next(self._lengths), self.costs.lengths[-1])
            ids = self._rng.integers(1, self._hello.config.vocab_size, size).astype(np.int32)
            row = Row(ids, np.ones(size, np.int32), np.zeros(size, np.int32))
            self.queue.submit(Submission([row], Call.within(1e9)))

    def arrays(self, batch: Batch) -> dict[str, np.ndarray]:
        """Of a batch, as the engine takes it."""
        pad = self._hello.config.pad_token_id or 0
        return batch.arrays(pad_token=pad, with_positions=self._hello.takes_positions)


def _closed(engine: EngineProcess, load: _Load, seconds: float, clients: int) -> dict[str, Any]:
    """Through the queue as the server does it: the next batch is sent before the last one's rows are followed."""
    ran = _nothing_yet()
    load.ask(clients)
    batch = load.queue.take()
    assert batch is not None
    engine.send(load.arrays(batch), rows=len(batch.waiting), timeout=60)
    began = time.perf_counter()
    while ran["seconds"] < seconds:
        load.costs.saw(batch.shape, engine.receive(timeout=600).seconds)
        _count(ran, batch)
        following = load.queue.take()
        if following is None:
            load.ask(len(batch.waiting))
            following = load.queue.take()
            assert following is not None
            engine.send(load.arrays(following), rows=len(following.waiting), timeout=60)
        else:
            engine.send(load.arrays(following), rows=len(following.waiting), timeout=60)
            load.ask(len(batch.waiting))
        batch, ran["seconds"] = following, time.perf_counter() - began
    engine.receive(timeout=600)
    return ran


def _full(engine: EngineProcess, load: _Load, seconds: float) -> dict[str, Any]:
    """Batches that were made beforehand of many waiting rows, once it is known which shapes are the best."""
    _closed(engine, load, min(seconds, LEARN_SECONDS), ROWS)
    for shape in load.costs.warmed:  # none is to be tried now
        load.costs.saw(shape, load.costs.seconds(shape))
    load.ask(ROWS - load.queue.items)
    batches = []
    while (batch := load.queue.take()) is not None:
        batches.append((batch, load.arrays(batch)))
    ran = _nothing_yet()
    began = time.perf_counter()
    while ran["seconds"] < seconds:
        for batch, inputs in batches:
            engine.send(inputs, rows=len(batch.waiting), timeout=60)
            engine.receive(timeout=600)
            _count(ran, batch)
        ran["seconds"] = time.perf_counter() - began
    return ran


def _nothing_yet() -> dict[str, Any]:
    return {"rows": 0, "tokens": 0, "padded": 0, "shapes": Counter(), "seconds": 0.0}


def _count(ran: dict[str, Any], batch: Batch) -> None:
    ran["rows"] += len(batch.waiting)
    ran["tokens"] += batch.tokens
    ran["padded"] += batch.shape[0] * batch.shape[1]
    ran["shapes"][batch.shape] += 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a directory or a catalogue name")
    parser.add_argument("--task", help="whose network is run")
    parser.add_argument("--engine", default="auto", choices=("auto", "cell", "onnx"))
    parser.add_argument("--lengths", type=lambda text: text.split(","), default=list(load_texts.LENGTHS))
    parser.add_argument("--clients", type=int, nargs="*", default=[32], help="rows that wait or are computed at a time")
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each length")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    main()
