"""The bare engine: rows a second through one engine process, without queue, HTTP or texts.

    python benchmarks/serving_engine.py minilm
    python benchmarks/serving_engine.py runs/squad_sample --lengths 32,384,zipf --seconds 20 --json engine.json

Full batches of the shapes that the server would choose, one after the other: what a server can reach at most. Compare
with the rows a second of `serving_load.py` at many clients.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import sys
import time
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


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure, print a table, and write what is to be written."""
    options = _parser().parse_args(arguments)
    spec = ModelSpec(name="bare", source=options.model, threads=options.threads, engine=options.engine)
    job = {"task": options.task, "engine": spec.engine, "device": spec.device, "dtype": None,
           "threads": spec.threads, "allow_new_head": False,
           "source": str(catalogue.resolve(options.model).resolve())}  # fmt: skip
    began = time.perf_counter()
    engine = EngineProcess(job)
    try:
        started = bring_up(engine, spec, before=None, longest=options.max_length, accept=lambda hello: None,
                           say=lambda reason: print(reason, file=sys.stderr))  # fmt: skip
        ready = time.perf_counter() - began
        results = [measure(engine, started, length, options.seconds) for length in options.lengths]
    finally:
        engine.close()
    print(f"ready after {ready:.1f} s, {len(started.costs.warmed)} shapes")
    print(table(results))
    if options.json:
        about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
                 "cpus": os.cpu_count(), "model": options.model, "ready_seconds": ready,
                 "shape_seconds": {f"{b}x{s}": v for (b, s), v in started.costs.warmed.items()},
                 "results": results}  # fmt: skip
        options.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return results


def measure(engine: EngineProcess, started: Started, length: str, seconds: float) -> dict[str, Any]:
    """Rows and tokens a second of rows of a length, or of a mix of lengths."""
    batches = _batches(started, length)
    pad, with_positions = started.hello.config.pad_token_id or 0, started.hello.takes_positions
    arrays = [batch.arrays(pad_token=pad, with_positions=with_positions) for batch in batches]
    rows = tokens = padded = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for batch, inputs in zip(batches, arrays, strict=True):
            engine.send(inputs, rows=len(batch.waiting), timeout=60)
            engine.receive(timeout=600)
            rows, tokens = rows + len(batch.waiting), tokens + batch.tokens
            padded += batch.shape[0] * batch.shape[1]
    spent = time.perf_counter() - began
    shapes = sorted({f"{rows_}x{length_}" for rows_, length_ in (batch.shape for batch in batches)})
    return {"length": length, "rows_per_second": rows / spent, "tokens_per_second": tokens / spent,
            "padding": 1 - tokens / padded, "shapes": shapes}  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """The results for people."""
    lines = ["| tokens | rows/s | tokens/s | padding | shapes |", "|---|---|---|---|---|"]
    for one in results:
        lines.append(
            f"| {one['length']} | {one['rows_per_second']:.1f} | {one['tokens_per_second']:.0f} | "
            f"{one['padding']:.0%} | {', '.join(one['shapes'])} |"
        )
    return "\n".join(lines)


def _batches(started: Started, length: str) -> list[Batch]:
    """The batches that a queue makes of many waiting rows."""
    queue = RowQueue(started.costs, max_items=ROWS, max_tokens=ROWS * 4096, max_seconds=1e9)
    config, longest = started.hello.config, started.costs.lengths[-1]
    rng, lengths = np.random.default_rng(0), load_texts.lengths(length, random.Random(0))
    for _ in range(ROWS):
        count = min(next(lengths), longest)
        ids = rng.integers(1, config.vocab_size, count).astype(np.int32)
        row = Row(ids, np.ones(count, np.int32), np.zeros(count, np.int32))
        queue.submit(Submission([row], Call.within(1e9)))
    found = []
    while (batch := queue.take()) is not None:
        found.append(batch)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a directory or a catalogue name")
    parser.add_argument("--task", help="whose network is run")
    parser.add_argument("--engine", default="auto", choices=("auto", "cell", "onnx"))
    parser.add_argument("--lengths", type=lambda text: text.split(","), default=list(load_texts.LENGTHS))
    parser.add_argument("--max-length", type=int)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each length")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    main()
