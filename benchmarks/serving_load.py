"""Load on a server, or on several turn and turn about.

    python benchmarks/serving_load.py http://127.0.0.1:8080 --metrics http://127.0.0.1:8081/metrics
    python benchmarks/serving_load.py ours=http://127.0.0.1:8080 flask=http://127.0.0.1:8090 --kind embed
    python benchmarks/serving_load.py --start minilm            # starts ours and serving_peer.py, and compares them
    python benchmarks/serving_load.py --start minilm --int8     # and ours once more, with dtype int8
    python benchmarks/serving_load.py ours=http://127.0.0.1:8080 other=http://127.0.0.1:7997 --kind openai --model M

Closed loops (so many clients, each asks again when it is answered), then open loops (requests at random moments at a
rate; time is counted from when a request was due). Every text is another one. Of servers that are started here, the
table also has what a request costs of the processor: of the load itself, the server and its engine, which compete
where they run on one machine. A key is read from LOAD_API_KEY; the admin port's, for metrics, from LOAD_ADMIN_KEY.
Point it only at servers of your own: it is load.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import sys
import time
import urllib.request
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import load_table, load_texts
from benchmarks.load_client import Load
from benchmarks.processor_time import Spent
from benchmarks.serving_start import Server, started

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """Run the loads that are asked for, print their table, and write what is to be written."""
    options = parser().parse_args(arguments)
    if not options.servers and not options.start:
        raise SystemExit("no server: give NAME=URL, or --start MODEL.")
    if options.int8 and not options.start:
        raise SystemExit("--int8 is for servers that are started here: give --start MODEL, or NAME=URL of one more.")
    with started(options.start, options.peer_source, with_int8=options.int8) as own:
        servers = own or dict(map(_named, options.servers))
        if options.metrics:
            first = next(iter(servers))
            servers[first] = replace(servers[first], metrics=options.metrics)
        results = measure(servers, options)
    text = load_table.table(results)
    print(text)
    about = {"date": datetime.date.today().isoformat(), "python": platform.python_version(), "cpus": os.cpu_count(),
             "kind": options.kind, "seconds": options.seconds, "loads": results}  # fmt: skip
    head = f"# Load\n\n`{options.kind}`, {options.seconds:g} s each, {about['date']}, {about['cpus']} CPUs."
    load_table.write(about, head, text, json_file=options.json, markdown_file=options.markdown)
    return results


def measure(servers: dict[str, Server], options: argparse.Namespace) -> list[dict[str, Any]]:
    """One result for each length, load and server; servers take turns within each load."""
    loads = [("closed", clients) for clients in options.clients] + [("open", rate) for rate in options.rates]
    results = []
    for length in options.lengths:
        for loop, size in loads:
            for name, server in servers.items():
                seed = options.seed + zlib.crc32(f"{length} {loop} {size}".encode())
                result = run(server, loop, size, length, seed, options)
                results.append({"server": name, "loop": loop, "size": size, "length": length, **result,
                                "load": f"c = {size:g}" if loop == "closed" else f"{size:g}/s"})  # fmt: skip
                print(load_table.table(results[-1:]).splitlines()[-1], file=sys.stderr)
    return results


def run(server: Server, loop: str, size: float, length: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One load on one server, after a shorter one that is not counted."""
    bodies = load_texts.requests(options.kind, length, seed, options.model)
    path = options.path or load_texts.path_of(options.kind)
    key = os.environ.get("LOAD_API_KEY")

    async def loads() -> dict[str, Any]:
        load = Load(server.url, path, key=key, timeout=options.timeout)
        if options.warm_up:
            await load.closed(bodies, 1 if loop == "open" else int(size), options.warm_up)
        before, spent = _scrape(server.metrics), Spent.of(server.pid) if server.pid else None
        begun = time.perf_counter()
        if loop == "closed":
            sent = await load.closed(bodies, int(size), options.seconds)
        else:
            sent = await load.open(bodies, size, options.seconds, seed)
        seconds = time.perf_counter() - begun
        costs = Spent.of(server.pid).per_request_ms(spent, len(sent)) if server.pid and spent else {}
        return {**load_table.summary(sent, seconds), **load_table.batches(before, _scrape(server.metrics)), **costs}

    return asyncio.run(loads())


def _scrape(url: str | None) -> dict[str, float]:
    if url is None:
        return {}
    key = os.environ.get("LOAD_ADMIN_KEY")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return load_table.samples(response.read().decode())


def _named(text: str) -> tuple[str, Server]:
    name, found, url = text.partition("=")
    return (name, Server(url)) if found and "/" not in name else (text.split("//")[-1], Server(text))


def parser() -> argparse.ArgumentParser:
    """Its options, with their defaults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="[NAME=]URL")
    parser.add_argument("--start", metavar="MODEL", help="start `bert-ms serve` on it and the peer, and end them")
    parser.add_argument("--int8", action="store_true", help="with --start: ours once more, with dtype int8")
    parser.add_argument("--peer-source", metavar="DIR", help="the same model for the peer; default the one of --start")
    parser.add_argument("--kind", choices=load_texts.KINDS, default="embed")
    parser.add_argument("--model", help="name of the model in requests")
    parser.add_argument("--path", help="of the route; default the kind's")
    parser.add_argument("--metrics", metavar="URL", help="of the first server's admin port: for padding and batches")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 32, 128], help="of closed loops")
    parser.add_argument("--rates", type=float, nargs="*", default=[], help="requests a second of open loops")
    parser.add_argument("--lengths", nargs="+", default=list(load_texts.LENGTHS), help="tokens of a text, or zipf")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before it")
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="other texts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    return parser


if __name__ == "__main__":
    main()
