"""A server as a process of its own, and raw sockets to it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.support import REPOSITORY

PATIENCE = 60.0  # for a machine that is busy


@dataclass
class Running:
    """A server that listens.

    Attributes:
        process: its own.
        url: of the data port.
        admin_url: of the admin port.
        lines: of its log, as they come.
    """

    process: subprocess.Popen[str]
    url: str = ""
    admin_url: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        """Of the data port."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def end(self, *, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def get(self, path: str, *, admin: bool = False) -> tuple[int, Any]:
        """Status and body of a GET."""
        return fetch((self.admin_url if admin else self.url) + path)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of a POST."""
        return fetch(self.url + path, body)


def fetch(url: str, body: Any = None) -> tuple[int, Any]:
    """Status and body; with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            text, status = response.read(), response.status
    except urllib.error.HTTPError as error:
        text, status = error.read(), error.code
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text.decode()


@contextlib.contextmanager
def running(*command: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """A server that was started by `python -m ...` and listens; it is ended afterwards, if it is still there."""
    env = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **(environment or {})}
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=REPOSITORY, env=env, text=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    found, listens, other = Running(process), threading.Event(), []

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                found.lines.append(json.loads(line))
            except ValueError:
                other.append(line)
                continue
            if found.lines[-1].get("message") == "listening":
                found.url, found.admin_url = found.lines[-1]["url"], found.lines[-1]["admin_url"]
                listens.set()
        listens.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listens.wait(PATIENCE) and found.url, f"{command} does not listen: {''.join(other)} {found.lines}"
        yield found
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


def send(address: tuple[str, int], data: bytes) -> bytes:
    """All that comes back for bytes until the server closes."""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        connection.sendall(data)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def receive_one(connection: socket.socket) -> bytes:
    """One answer, by its Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65_536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def wait_until(holds: Any, seconds: float = PATIENCE) -> None:
    """Wait until a claim holds; fail where it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
