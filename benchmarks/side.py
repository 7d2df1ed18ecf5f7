"""The conversation with one side of a comparison: steps on request, times back, one JSON line each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

MARK = "@@"  # libraries may print; only lines that begin with this count


def serve(step: Callable[[], float], describe: Callable[[], dict[str, Any]]) -> None:
    """Answer `{"steps": n}` with n step times until stdin ends, then tell the peak memory.

    Args:
        step: does one step, waits for its result and gives a number that must be finite.
        describe: versions, given once at the start.
    """
    _say({"ready": True, **describe()})
    for line in sys.stdin:
        request = json.loads(line)
        seconds = []
        value = 0.0
        for _ in range(request["steps"]):
            start = time.perf_counter()
            value = step()
            seconds.append(time.perf_counter() - start)
        _say({"seconds": seconds, "value": value, "peak_mb": peak_mb()})


def peak_mb() -> float:
    """Largest resident memory that this process ever had, in MB (VmHWM)."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{MARK}{json.dumps(message)}\n")
    sys.stdout.flush()
