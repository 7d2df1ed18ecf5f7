"""What share of the bare engine's speed a server keeps: both in one run, turn and turn about.

    python benchmarks/serving_share.py minilm
    python benchmarks/serving_share.py minilm --apart --lengths 8,32 --rounds 5 --json share.json

The bare engine (see serving_engine.py) computes rows of which so many wait or are computed at a time; the server
answers as many clients; the share is of tokens a second. On a machine of few processors both the server and the load
take time from the engine. With `--apart` every engine has one processor, and one thread, for itself; server and load
have the others, as on a machine with more processors than the engine uses, or where the network runs on another device.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import yaml

from benchmarks import load_texts, serving_engine, serving_load
from benchmarks.serving_start import Server, started

HEAD = "| tokens | bare engine, rows/s | server, answered/s | share | CPU ms: load + server + engine |"
FAILED = "of {} requests {} failed: a share of what did not work says nothing."


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure, print a table, and write what is to be written."""
    options = _parser().parse_args(arguments)
    processors = sorted(os.sched_getaffinity(0))
    if options.apart and len(processors) < 2:
        raise SystemExit("one processor cannot be divided: leave --apart out.")
    if options.apart:
        os.sched_setaffinity(0, processors[1:])  # what is started from here on stays there too
    threads = 1 if options.apart else None
    with (
        serving_engine.bare(options.model, threads=threads, longest=options.max_length) as (engine, begun),
        tempfile.TemporaryDirectory() as folder,
        started(_settings(folder, options, threads), None, with_peer=False) as servers,
    ):
        server = servers["ours"]
        if options.apart:
            assert server.pid is not None, "it was started here"
            for pid in (engine.pid, *(child.pid for child in psutil.Process(server.pid).children(recursive=True))):
                _pin(pid, processors[0])
        print(f"{HEAD}\n|{'---|' * 5}")
        results = []
        for length in options.lengths:
            pairs = [_pair(engine, begun, server, length, options) for _ in range(options.rounds)]
            results.append(_middle(length, pairs))
            print(_line(results[-1]), flush=True)
    if options.json:
        about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(),
                 "cpus": len(processors), "apart": options.apart, "clients": options.clients, "model": options.model,
                 "seconds": options.seconds, "rounds": options.rounds, "results": results}  # fmt: skip
        options.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return results


def _settings(folder: str, options: argparse.Namespace, threads: int | None) -> str:
    """A file with the settings of the server: the same as the bare engine's."""
    model = {"source": options.model, "max_length": options.max_length, "threads": threads}
    path = Path(folder) / "settings.yaml"
    path.write_text(yaml.safe_dump({"models": {"vectors": model}}), encoding="utf-8")
    return str(path)


def _pair(engine: Any, begun: Any, server: Server, length: str, options: argparse.Namespace) -> dict[str, float]:
    """The bare engine, then the server."""
    bare = serving_engine.measure(engine, begun, length, options.seconds, options.clients)
    load = serving_load.parser().parse_args(["--seconds", str(options.seconds), "--warm-up", "1"])
    found = serving_load.run(server, "closed", options.clients, length, 0, load)
    if found["answered"] != found["requests"]:
        raise SystemExit(FAILED.format(found["requests"], found["requests"] - found["answered"]))
    costs = {name: found[name] for name in ("load_cpu_ms", "server_cpu_ms", "engine_cpu_ms")}
    tokens = found["batches"] * found["tokens_per_batch"] / found["seconds"]  # of a mix, no row is worth another
    return {"bare": bare["rows_per_second"], "server": found["per_second"],
            "share": tokens / bare["tokens_per_second"], **costs}  # fmt: skip


def _middle(length: str, pairs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians, with the least and the greatest share."""
    shares = [pair["share"] for pair in pairs]
    return {"length": length, **{name: statistics.median(pair[name] for pair in pairs) for name in pairs[0]},
            "least": min(shares), "greatest": max(shares)}  # fmt: skip


def _line(one: dict[str, Any]) -> str:
    return (
        f"| {one['length']} | {one['bare']:.1f} | {one['server']:.1f} | {one['share']:.0%} ({one['least']:.0%} to "
        f"{one['greatest']:.0%}) | {one['load_cpu_ms']:.2f} + {one['server_cpu_ms']:.2f} + {one['engine_cpu_ms']:.2f} |"
    )


def _pin(pid: int, processor: int) -> None:
    for thread in psutil.Process(pid).threads():
        os.sched_setaffinity(thread.id, {processor})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="of sentence vectors: a directory or a catalogue name")
    parser.add_argument("--apart", action="store_true", help="one processor for each engine, the others for the rest")
    parser.add_argument("--lengths", type=lambda text: text.split(","), default=list(load_texts.LENGTHS))
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    main()
