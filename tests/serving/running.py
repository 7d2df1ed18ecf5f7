"""A server as a process of its own, for tests that speak to it over a socket."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import REPOSITORY

START_SECONDS = 120.0


@dataclass
class Running:
    """A server that listens.

    Attributes:
        url: of the data port.
        admin_url: of the admin port.
        process: of the server.
        log: its lines, as they come.
    """

    url: str
    admin_url: str
    process: subprocess.Popen[str]
    log: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def running(*command: str, directory: Path | None = None) -> Iterator[Running]:
    """Start a server and end it.

    Args:
        command: arguments of Python, as "-m", "tests.serving.wire_process", "max_items=4"; it says where it listens in
            a line of its log.
        directory: that it works in; default the repository, which it may import from.
    """
    process = subprocess.Popen(
        [sys.executable, *command], cwd=directory or REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    server, listening, rest = Running("", "", process), threading.Event(), list[str]()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            rest.append(line)
            with contextlib.suppress(ValueError):
                server.log.append(json.loads(line))
                if server.log[-1].get("message") == "listening":
                    server.url, server.admin_url = server.log[-1]["url"], server.log[-1]["admin_url"]
                    listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(START_SECONDS) and server.url, "".join(rest)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(timeout=5)
        assert process.stderr is not None
        process.stderr.close()
