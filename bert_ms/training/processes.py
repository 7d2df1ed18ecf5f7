"""Keeping hold of processes that others start: ends with their parent, marks, and a sweep for what is left."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; does nothing where the kernel cannot (not Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return not os.path.isdir("/proc/self")


def marked(name: str, value: str) -> list[int]:
    """Ids of living processes, this one excepted, that were started with `name=value` in their environment."""
    import psutil  # comes with mindspore, whose msrun needs it

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(name) == value and process.status() != "zombie":
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def kill_marked(name: str, value: str, *, wait_seconds: float = 10.0) -> list[int]:
    """Kill every process that carries the mark, again until none is left; return those that would not go."""
    deadline = time.monotonic() + wait_seconds
    while left := marked(name, value):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left


def return_code(code: int) -> int:
    """A shell's return code for one of `subprocess`: 128 + n for a process that signal n ended."""
    return 128 - code if code < 0 else code
