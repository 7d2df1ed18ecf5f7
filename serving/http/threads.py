"""The threads that answer a port's requests: as many as were needed at one time, up to a limit."""

from __future__ import annotations

from typing import Any

from waitress.task import ThreadedTaskDispatcher


class Threads(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Starts threads as they are needed.

    Those that are idle take turns; of hundreds each would find nothing of its own in the processor's caches.

    Args:
        most: threads.
    """

    def __init__(self, most: int):
        super().__init__()
        self._most = most

    def add_task(self, task: Any) -> None:
        """See waitress."""
        with self.lock:
            running = len(self.threads) - self.stop_count
            is_busy = len(self.queue) >= running - self.active_count
        if is_busy and running < self._most:
            self.set_thread_count(running + 1)
        super().add_task(task)
