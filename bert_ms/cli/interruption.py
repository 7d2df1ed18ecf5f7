"""SIGTERM as Ctrl+C: a command that is told to end removes what it had begun, and says so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Within the block, the first SIGTERM raises KeyboardInterrupt; a second one ends the process at once.

    MindSpore's executor makes SIGTERM of every SIGINT once it has run a graph, so without this Ctrl+C would end the
    process on the spot, and leave its temporary files. Outside the main thread, where Python allows no handlers,
    signals keep their meaning.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
