"""A server under load while its engines are killed, its models loaded anew, and over many requests.

    python benchmarks/serving_faults.py minilm
    python benchmarks/serving_faults.py minilm --kills 20 --reloads 50 --soak 100000 --json faults.json

Starts a server of its own (one model of sentence vectors), keeps so many clients asking, and compares every answer with
the one that the same text had at first: nothing may be crossed or lost. Beside it `/livez` is asked twenty times a
second. What it prints are the tables of docs/serving.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import http.client
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil

from benchmarks import load_texts
from benchmarks.serving_start import free_port, wait_ready

HERE = Path(__file__).resolve().parent
TEXTS = 200
TOLERANCE = 1e-4
MODEL = "vectors"


class Server:
    """A server of our own with one model, on free ports."""

    def __init__(self, source: str, settings: list[str]):
        self.port, self.admin_port, self._key = free_port(), free_port(), secrets.token_urlsafe(24)
        command = [sys.executable, "-m", "bert_ms.cli", "serve", f"{MODEL}={source}", "--port", str(self.port),
                   "--admin-port", str(self.admin_port), "--log-level", "error",
                   *(part for one in settings for part in ("--set", one))]  # fmt: skip
        environment = {**os.environ, "BERTMS_ADMIN_KEYS": self._key}
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, cwd=HERE.parent, env=environment)
        try:
            wait_ready(f"http://127.0.0.1:{self.port}/readyz", self.process)
        except BaseException:
            self.close()
            raise
        self.ready_seconds = time.monotonic() - self.began

    def engines(self) -> list[psutil.Process]:
        """Its engine processes."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "engine.child" in " ".join(_command(child))]

    def get(self, path: str, *, admin: bool = False) -> tuple[int, bytes]:
        """Status and body of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port if admin else self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=self._headers() if admin else {})
            response = connection.getresponse()
            return response.status, response.read()

    def reload(self) -> int:
        """Load the model anew; the status of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=600)
        with contextlib.closing(connection):
            headers = {**self._headers(), "Content-Type": "application/json"}
            connection.request("POST", f"/v2/repository/models/{MODEL}/load", "{}", headers)
            response = connection.getresponse()
            response.read()
            return response.status

    def number(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.get("/metrics", admin=True)[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def wait_ready(self, seconds: float = 300.0) -> float:
        """Seconds until it is ready."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/readyz")[0] == 200:
                    return time.monotonic() - began
            time.sleep(0.02)
        raise SystemExit(f"the server was not ready again within {seconds:g} s")

    def sizes(self) -> dict[str, float]:
        """Memory in MB, threads and open files of the front process, and memory of its engines."""
        front, engines = psutil.Process(self.process.pid), self.engines()
        return {
            "front_mb": front.memory_info().rss / 1e6,
            "front_threads": front.num_threads(),
            "front_files": front.num_fds(),
            "engines": len(engines),
            "engine_mb": sum(engine.memory_info().rss for engine in engines) / 1e6,
            "engine_files": sum(engine.num_fds() for engine in engines),
        }

    def close(self) -> int:
        """End it; its return code."""
        self.process.terminate()
        return self.process.wait(timeout=120)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}


class Clients:
    """So many clients that ask without a pause, each on a connection of its own.

    Attributes:
        statuses: how often each came; 0 is a connection that broke.
        wrong: answers that differ from the text's first.
        livez_ms: the longest that `/livez` took.
    """

    def __init__(self, server: Server, count: int, length: str):
        self._server, self._count = server, count
        rng = random.Random(1)
        lengths = load_texts.lengths(length, rng)
        self._texts = [f"{number} {load_texts.text(next(lengths), rng)}" for number in range(TEXTS)]
        self._golden: list[np.ndarray | None] = [None] * TEXTS
        self.statuses: Counter[int] = Counter()
        self.wrong, self.livez_ms, self.slowest_ms = 0, 0.0, 0.0
        self._lock, self._stop = threading.Lock(), threading.Event()

    def learn(self) -> None:
        """Ask each text once, alone: these answers count as right."""
        connection = self._connection()
        for number in range(TEXTS):
            status, vector = self._ask(connection, number)
            if status != 200 or vector is None:
                raise SystemExit(f"text {number} was answered with {status}")
            self._golden[number] = vector

    @contextlib.contextmanager
    def asking(self, most: int | None = None) -> Iterator[None]:
        """Ask while the block runs; with `most`, until so many requests were answered and the block has ended."""
        self.statuses.clear()
        self.wrong, self.livez_ms, self.slowest_ms = 0, 0.0, 0.0
        self._stop.clear()
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self._count)]
        watcher = threading.Thread(target=self._watch)
        for thread in (*threads, watcher):
            thread.start()
        try:
            yield
            while most is not None and self.answered < most:
                time.sleep(0.05)
        finally:
            self._stop.set()
            for thread in (*threads, watcher):
                thread.join()

    @property
    def answered(self) -> int:
        """Requests that were answered, however."""
        return sum(self.statuses.values())

    def result(self) -> dict[str, Any]:
        """What became of the requests."""
        others = {str(status): count for status, count in sorted(self.statuses.items()) if status != 200}
        return {"requests": self.answered, "ok": self.statuses[200], "others": others, "wrong": self.wrong,
                "livez_max_ms": round(self.livez_ms, 1), "slowest_ms": round(self.slowest_ms, 1)}  # fmt: skip

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=120)

    def _client(self, seed: int) -> None:
        rng, connection = random.Random(seed), self._connection()
        while not self._stop.is_set():
            number = rng.randrange(TEXTS)
            began = time.monotonic()
            try:
                status, vector = self._ask(connection, number)
            except (OSError, http.client.HTTPException):
                connection.close()
                status, vector = 0, None
            golden = self._golden[number]
            is_wrong = vector is not None and golden is not None and np.abs(vector - golden).max() > TOLERANCE
            with self._lock:
                self.statuses[status] += 1
                self.wrong += bool(is_wrong)
                self.slowest_ms = max(self.slowest_ms, 1000 * (time.monotonic() - began))
            if status in (429, 503):
                self._stop.wait(0.1)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, number: int) -> tuple[int, np.ndarray | None]:
        body = json.dumps({"inputs": [self._texts[number]], "truncate": True})
        connection.request("POST", "/api/v1/embed", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            return response.status, None
        return 200, np.array(_vector(json.loads(data)), np.float32)

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            began = time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._server.get("/livez")[0] == 200:
                    self.livez_ms = max(self.livez_ms, 1000 * (time.monotonic() - began))
                    continue
            self.livez_ms = float("inf")


def kills(server: Server, clients: Clients, count: int) -> dict[str, Any]:
    """Kill the engine again and again, each time once it answers again."""
    back = []
    with clients.asking():
        for _ in range(count):
            time.sleep(1.0)
            (engine,) = server.engines()
            engine.send_signal(signal.SIGKILL)
            engine.wait()
            time.sleep(0.05)
            back.append(server.wait_ready())
        time.sleep(1.0)
    return {"kills": count, **clients.result(), "ready_again_max_s": round(max(back), 1), **_rounded(server.sizes())}


def reloads(server: Server, clients: Clients, count: int) -> dict[str, Any]:
    """Load the model anew again and again."""
    before, failed = server.sizes(), 0
    with clients.asking():
        for _ in range(count):
            failed += server.reload() != 200
    after = server.sizes()
    grown = {f"{key}_grown": round(after[key] - before[key], 1) for key in ("front_mb", "front_threads", "front_files")}
    return {"reloads": count, "failed": failed, **clients.result(), **grown, "engines": after["engines"]}


def soak(server: Server, clients: Clients, count: int) -> list[dict[str, Any]]:
    """Many requests; sizes twenty times on the way."""
    rows: list[dict[str, Any]] = []
    with clients.asking(most=count):
        while clients.answered < count:
            if clients.answered >= len(rows) * count / 20:
                more = {name: server.number(f"bertms_{name}_total") for name in ("compile", "engine_restarts")}
                rows.append({"requests": clients.answered, **_rounded(server.sizes()), **more})
            time.sleep(0.05)
    rows.append({**_rounded(server.sizes()), **clients.result()})
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run what is asked for, print it, and write what is to be written."""
    options = _parser().parse_args(arguments)
    server = Server(options.source, options.set)
    try:
        clients = Clients(server, options.clients, options.length)
        clients.learn()
        found: dict[str, Any] = {"date": datetime.date.today().isoformat(), "cpus": os.cpu_count(),
                                 "ready_s": round(server.ready_seconds, 1)}  # fmt: skip
        if options.kills:
            found["kills"] = kills(server, clients, options.kills)
            print(_table([found["kills"]]))
        if options.reloads:
            found["reloads"] = reloads(server, clients, options.reloads)
            print(_table([found["reloads"]]))
        if options.soak:
            found["soak"] = soak(server, clients, options.soak)
            print(_table(found["soak"][:-1]))
            print(_table(found["soak"][-1:]))
    finally:
        code = server.close()
    found["return_code"] = code
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(str(row.get(name, '')) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in values.items()}


def _vector(body: dict[str, Any]) -> Any:
    """The vector in an answer, in whichever form the route gives it."""
    (result,) = body["results"]
    return result["embedding"] if isinstance(result, dict) else result


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a directory or catalogue name of a model that embeds")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--reloads", type=int, default=50)
    parser.add_argument("--soak", type=int, default=100_000, help="requests")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--length", default="32", help="tokens of a text, or zipf")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the server")
    parser.add_argument("--json", type=Path)
    return parser


if __name__ == "__main__":
    main()
