"""What a load costs of the processor: the load's own process, a server's, and those that it has started."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Spent:
    """Seconds of processor until now, of all threads, the system's own included.

    Attributes:
        load: of this process.
        server: of the server's process.
        children: of the processes that it has started, its engines.
    """

    load: float
    server: float
    children: float

    @classmethod
    def of(cls, pid: int) -> Spent:
        """Of a server that runs."""
        server = psutil.Process(pid)
        return cls(time.process_time(), _seconds(server), sum(map(_seconds, server.children(recursive=True))))

    def per_request_ms(self, before: Spent, requests: int) -> dict[str, float]:
        """Milliseconds that each of so many requests has cost since."""
        each = 1000 / max(requests, 1)
        return {
            "load_cpu_ms": each * (self.load - before.load),
            "server_cpu_ms": each * (self.server - before.server),
            "engine_cpu_ms": each * (self.children - before.children),
        }


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
