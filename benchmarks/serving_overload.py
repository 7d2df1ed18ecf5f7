"""More requests than a server can answer: what those that it takes wait, and how soon the others are refused.

    python benchmarks/serving_overload.py minilm
    python benchmarks/serving_overload.py minilm --lengths 32 128 --seconds 20 --markdown overload.md

Starts a server of its own (one model of sentence vectors). For each length its capacity is taken from a closed loop;
then requests come at random moments at 0.5 to 3 times that rate, whether or not earlier ones are answered; time is
counted from when a request was due. At the end stands what is promised of the highest rate beside what was found. The
load runs on the machine of the server, and takes its share of it.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import load_table, load_texts
from benchmarks.load_client import Load
from benchmarks.serving_faults import Server

FACTORS = (0.5, 0.8, 1.0, 1.5, 3.0)
CONNECTIONS = "max_connections=4096"  # as many as the load may have: not their number is looked at
CLIENTS = 32  # of the closed loop whose rate is the capacity: enough of them, and none refused
# Promised of the highest rate, beside the rate of the capacity itself.
P99_TIMES, REFUSED_MS, GOODPUT = 2.0, 50.0, 0.95
HEAD = ("tokens", "load", "asked/s", "answered/s", "p50 ms", "p99 ms", "refused (429)", "refused: p50 ms", "p99 ms",
        "failed")  # fmt: skip


def measure(url: str, length: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The capacity by one length, then one result for each rate."""
    results = []
    for factor in (0.0, *options.factors):
        seed = options.seed + zlib.crc32(f"{length} {factor}".encode())
        rate = factor * results[0]["per_second"] if factor else 0.0
        found = asyncio.run(_one(url, length, rate, seed, options.seconds))
        results.append({"length": length, "factor": factor, **found})
        print(_row(results[-1]), file=sys.stderr)
    return results


async def _one(url: str, length: str, rate: float, seed: int, seconds: float) -> dict[str, Any]:
    """An open loop, or for a rate of 0 the closed one."""
    bodies = load_texts.requests("embed", length, seed)
    load = Load(url, load_texts.path_of("embed"))
    await load.closed(bodies, CLIENTS, min(2.0, seconds))  # not counted
    begun = time.perf_counter()
    sent = await (load.open(bodies, rate, seconds, seed) if rate else load.closed(bodies, CLIENTS, seconds))
    found = load_table.summary(sent, time.perf_counter() - begun)
    found["per_second"] = sum(one.status == 200 and one.ended < begun + seconds for one in sent) / seconds
    refused = [one.seconds for one in sent if one.status == 429]
    middle = load_table.percentile(refused, 0.5)
    return {**found, "rate": rate, "refused_p50_ms": None if middle is None else 1000 * middle}


def promises(results: list[dict[str, Any]]) -> list[tuple[str, float | None, float]]:
    """Of one length: what is promised of the highest rate, what was found, and the limit."""
    by_factor = {one["factor"]: one for one in results}
    capacity, most = by_factor[1.0], by_factor[max(by_factor)]
    peak = max(one["per_second"] for one in results)
    return [
        (f"p99 of the answered, times that at 1 x, at most {P99_TIMES:g}", most["p99_ms"] / capacity["p99_ms"],
         P99_TIMES),
        (f"p99 of the refused, at most {REFUSED_MS:g} ms", most["refused_p99_ms"], REFUSED_MS),
        (f"answered a second, of the most, at least {GOODPUT:g}", most["per_second"] / peak, GOODPUT),
    ]  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """All loads as a Markdown table."""
    return "\n".join([f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *map(_row, results)])


def _row(one: dict[str, Any]) -> str:
    def number(key: str) -> str:
        return "" if one[key] is None else f"{one[key]:.1f}"

    failed = sum(count for status, count in one["statuses"].items() if status not in ("200", "429"))
    load = f"{one['factor']:g} x" if one["factor"] else f"c = {CLIENTS}"
    cells = [one["length"], load, number("rate") if one["rate"] else "", number("per_second"), number("p50_ms"),
             number("p99_ms"), str(one["statuses"].get("429", 0)), number("refused_p50_ms"),
             number("refused_p99_ms"), str(failed)]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what is asked for, print it, and write what is to be written."""
    options = _parser().parse_args(arguments)
    server = Server(options.source, [CONNECTIONS, *options.set])
    try:
        results = {length: measure(f"http://127.0.0.1:{server.port}", length, options) for length in options.lengths}
    finally:
        server.close()
    lines = [table([one for some in results.values() for one in some]), ""]
    for length, some in results.items():
        lines += [f"- {length} tokens: {said}: {found:.2f}" for said, found, _ in promises(some) if found is not None]
    text = "\n".join(lines)
    print(text)
    about = {"date": datetime.date.today().isoformat(), "cpus": os.cpu_count(), "seconds": options.seconds,
             "loads": [one for some in results.values() for one in some]}  # fmt: skip
    head = f"# Overload\n\n`embed`, {options.seconds:g} s each, {about['date']}, {about['cpus']} CPUs."
    load_table.write(about, head, text, json_file=options.json, markdown_file=options.markdown)
    return about


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a directory or catalogue name of a model that embeds")
    parser.add_argument("--lengths", nargs="+", default=["8", "32", "128"], help="tokens of a text, or zipf")
    parser.add_argument("--factors", type=float, nargs="+", default=list(FACTORS), help="of the capacity; 1 among them")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--seed", type=int, default=0, help="other texts and moments")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the server")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    main()
