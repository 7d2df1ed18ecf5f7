"""Runs two sides turn and turn about, so that both meet the same weather, and reports the ratio."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shapes, side
from benchmarks.peer_env import peer_python

HERE = Path(__file__).resolve().parent


class Side:
    """A worker process of one side."""

    def __init__(self, name: str, command: list[str], threads: int):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
        self.name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.versions = self._read()["versions"]

    def steps(self, count: int) -> dict[str, Any]:
        """Do `count` steps; seconds of each, the last value, peak memory so far."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"steps": count}) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        if not math.isfinite(answer["value"]):
            raise SystemExit(f"{self.name} computed {answer['value']}: the comparison means nothing.")
        return answer

    def close(self) -> None:
        """End the worker."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(side.MARK):
                return json.loads(line[len(side.MARK) :])
        raise SystemExit(f"{self.name} ended with exit code {self.process.wait()}; its messages are above.")


def compare(job: str, model: str, rows: int, length: int, options: argparse.Namespace) -> dict[str, Any]:
    """One line of the table."""
    arguments = [job, model, str(rows), str(length)]
    ours = Side("bert_ms", [sys.executable, str(HERE / "side_ours.py"), *arguments], options.threads)
    peer = Side(
        "the peer",
        [str(peer_python()), str(HERE / "side_peer.py"), *arguments, str(options.threads)],
        options.threads,
    )
    speeds: dict[str, list[float]] = {"ours": [], "peer": []}
    memory = {}
    for one in (ours, peer):
        one.steps(options.warmup)
    for _ in range(options.rounds):
        for key, one in (("ours", ours), ("peer", peer)):
            answer = one.steps(options.steps)
            speeds[key].append(rows / statistics.median(answer["seconds"]))
            memory[key] = answer["peak_mb"]
    for one in (ours, peer):
        one.close()
    ratios = [a / b for a, b in zip(speeds["ours"], speeds["peer"], strict=True)]
    result = {
        "model": model,
        "rows": rows,
        "length": length,
        "ours": spread(speeds["ours"]),
        "peer": spread(speeds["peer"]),
        "ratio": spread(ratios),
        "peak_mb": memory,
        "versions": {"ours": ours.versions, "peer": peer.versions},
    }
    print(_line(result), flush=True)
    return result


def main(job: str, title: str, notes: str) -> None:
    """Parse the command line, compare every model and batch, print and keep the table."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--models", nargs="*", default=list(shapes.MODELS), choices=list(shapes.MODELS))
    parser.add_argument("--lengths", nargs="*", type=int, default=[length for _, length in shapes.BATCHES])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn, whose median counts (default 3)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before anything counts (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    options = parser.parse_args()
    print(_HEAD, flush=True)
    results = [
        compare(job, model, rows, length, options)
        for model in options.models
        for rows, length in shapes.BATCHES
        if length in options.lengths
    ]
    document = {
        "title": title,
        "notes": notes,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "steps": options.steps,
        "results": results,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"{job}"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table(document), encoding="utf-8")
    print(f"\nwritten: {stem.with_suffix('.md')}, {stem.with_suffix('.json')}")


_HEAD = (
    "| model | batch | ours, samples/s: median (min-max) | peer | ratio, pair by pair | peak MB ours | peer |\n"
    "|---|---|---|---|---|---|---|"
)


def table(document: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    versions = document["results"][0]["versions"]
    lines = "\n".join(_line(result) for result in document["results"])
    return (
        f"# {document['title']}\n\n{document['notes']}\n\n{_HEAD}\n{lines}\n\n"
        f"{document['date']}; {document['machine']}; {document['threads']} threads a side; "
        f"{document['rounds']} turns of {document['steps']} steps.\n"
        f"Ours: {versions['ours']}.\nPeer: {versions['peer']}.\n"
    )


def _line(result: dict[str, Any]) -> str:
    memory = result["peak_mb"]
    return (
        f"| {result['model']} | ({result['rows']}, {result['length']}) | {shown(result['ours'])} "
        f"| {shown(result['peer'])} | {shown(result['ratio'])} | {memory['ours']:.0f} | {memory['peer']:.0f} |"
    )


def spread(values: list[float]) -> dict[str, float]:
    """Median and ends of some measurements."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def shown(spread: dict[str, float], digits: int = 2) -> str:
    """A spread as tables have it: "1.50 (1.40-1.70)"."""
    return "{} ({}-{})".format(*(f"{spread[name]:.{digits}f}" for name in ("median", "min", "max")))


def machine() -> str:
    """Processor, cores and memory."""
    cpu = platform.processor() or platform.machine()
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
        units = {unit for line in lines if line.startswith("flags") for unit in line.split() if "amx" in unit}
        cpu += f" ({', '.join(sorted(units))})" if units else ""
    return f"{cpu}, {os.cpu_count()} cores, {gigabytes:.0f} GB"
