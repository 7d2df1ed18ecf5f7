"""Starts the two servers that are compared, and ends them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer_env import peer_python

HERE = Path(__file__).resolve().parent
START_SECONDS = 300.0


@dataclass(frozen=True)
class Server:
    """One that runs.

    Attributes:
        url: that it answers on.
        metrics: their address; None where it has none of our form.
        pid: of its process, where it was started here.
    """

    url: str
    metrics: str | None = None
    pid: int | None = None


@contextlib.contextmanager
def started(
    model: str | None, peer_source: str | None, *, with_peer: bool = True, with_int8: bool = False
) -> Iterator[dict[str, Server]]:
    """Ours and the peer's by name, on free ports.

    Args:
        model: of ours: a directory, a catalogue name, or a YAML file of settings; None starts nothing.
        peer_source: directory of the same model in Hugging Face's form.
        with_peer: start the peer too.
        with_int8: start ours once more, in dtype int8.
    """
    if model is None:
        yield {}
        return
    from bert_ms.hub import catalogue

    ports = [free_port() for _ in range(5)]
    settings = ["-c", model] if Path(model).suffix in (".yaml", ".yml") else [model]
    own = [sys.executable, "-m", "bert_ms.cli", "serve", *settings, "--set", "log_requests=false", "-q"]
    commands = {"ours": (ports[0], [*own, "--port", str(ports[0]), "--admin-port", str(ports[1])])}
    if with_peer:
        source = peer_source or str(catalogue.resolve(model))
        peer = [str(peer_python()), str(HERE / "serving_peer.py"), source, "--port", str(ports[2])]
        commands["Flask + Transformers"] = (ports[2], peer)
    if with_int8:
        int8 = [*own, "--dtype", "int8", "--port", str(ports[3]), "--admin-port", str(ports[4])]
        commands["ours, INT8"] = (ports[3], int8)
    urls = {name: f"http://127.0.0.1:{port}" for name, (port, _) in commands.items()}
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(_running(command)) for name, (_, command) in commands.items()}
        for name, process in processes.items():
            wait_ready(f"{urls[name]}/readyz", process)
        metrics = {"ours": f"http://127.0.0.1:{ports[1]}/metrics"}
        yield {name: Server(urls[name], metrics.get(name), process.pid) for name, process in processes.items()}


@contextlib.contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, cwd=HERE.parent, env=os.environ.copy())
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until a server answers 200.

    Raises:
        SystemExit: it ended, or took too long.
    """
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}; its messages are above.")
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2) as response:
            if response.status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"{url} was not ready within {START_SECONDS:g} s.")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
