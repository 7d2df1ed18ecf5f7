"""Showing a log file while another process writes it, and its telling last lines."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TextIO

# MindSpore's communication threads say this at every end, good or bad.
_NOISE = ("[INFO] DISTRIBUTED",)
_TRACEBACK = "Traceback (most recent call last)"


class Follower:
    """Copies what is appended to a file to a terminal, each time `copy` is called.

    Args:
        path: need not exist yet.
        terminal: text stream to write to.
    """

    def __init__(self, path: Path, terminal: TextIO):
        self._path = path
        self._terminal = terminal
        self._position = 0
        self._rest = b""

    def copy(self, *, everything: bool = False) -> None:
        """Copy what is new, up to the last line end (or carriage return), or all of it."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return
        self._position += len(new)
        text = self._rest + new
        cut = len(text) if everything else max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._rest = text[cut:]
        lines = text[:cut].decode("utf-8", errors="replace").splitlines(keepends=True)
        shown = "".join(line for line in lines if not line.startswith(_NOISE))
        if shown:
            show(self._terminal, shown)


def show(terminal: TextIO, text: str) -> None:
    """Write to a terminal that may be gone by now: the run matters more than its showing."""
    with contextlib.suppress(OSError):
        terminal.write(text)
        terminal.flush()


def last_lines(path: Path, count: int = 30) -> str:
    """The end of a log: from its last Python traceback on if that is near, else the last `count` lines."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 64_000))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]
    starts = [number for number, line in enumerate(lines) if _TRACEBACK in line]
    if starts and len(lines) - starts[-1] <= 3 * count:
        return "\n".join(lines[starts[-1] :])
    return "\n".join(lines[-count:])
