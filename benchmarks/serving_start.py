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
from pathlib import Path

from benchmarks.peer_env import peer_python

HERE = Path(__file__).resolve().parent
START_SECONDS = 300.0


@contextlib.contextmanager
def started(model: str | None, peer_source: str | None) -> Iterator[tuple[dict[str, str], str | None]]:
    """Ours and the peer's, on free ports.

    Args:
        model: of ours: a directory, a catalogue name, or a YAML file of settings; None starts nothing.
        peer_source: directory of the same model in Hugging Face's form.

    Yields:
        URLs by name, and the address of our metrics.
    """
    if model is None:
        yield {}, None
        return
    from bert_ms.hub import catalogue

    ports = [free_port() for _ in range(3)]
    settings = ["-c", model] if Path(model).suffix in (".yaml", ".yml") else [model]
    source = peer_source or str(catalogue.resolve(model))
    own = [sys.executable, "-m", "bert_ms.cli", "serve", *settings]
    commands = [
        [*own, "--port", str(ports[0]), "--admin-port", str(ports[1]), "--set", "log_requests=false", "-q"],
        [str(peer_python()), str(HERE / "serving_peer.py"), source, "--port", str(ports[2])],
    ]
    processes = [subprocess.Popen(command, cwd=HERE.parent, env=os.environ.copy()) for command in commands]
    try:
        wait_ready(f"http://127.0.0.1:{ports[0]}/readyz", processes[0])
        wait_ready(f"http://127.0.0.1:{ports[2]}/readyz", processes[1])
        urls = {"ours": f"http://127.0.0.1:{ports[0]}", "Flask + Transformers": f"http://127.0.0.1:{ports[2]}"}
        yield urls, f"http://127.0.0.1:{ports[1]}/metrics"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
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
