"""The run's log file, whose end on a full disk is one line instead of a traceback for each message."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path

logger = logging.getLogger(__name__)


class RunLog(logging.FileHandler):
    """Writes messages to a file for as long as that works; what the run cannot do without says so itself."""

    is_broken = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message, unless an earlier one could not be written."""
        if not self.is_broken:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once that the log ends here; defects in the message itself are shown as ever."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.is_broken:
            self.is_broken = True
            logger.warning("%s is not written any further: %s", self.baseFilename, error.strerror or error)


@contextmanager
def kept_log() -> Iterator[Callable[[Path], None]]:
    """What the package logs, from here to the end, goes to the file that the function is called with, if it is."""
    kept = MemoryHandler(1, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
    files: list[logging.FileHandler] = []

    def write_to(path: Path) -> None:
        file = RunLog(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        files.append(file)
        kept.setTarget(file)
        kept.flush()

    package = logging.getLogger("bert_ms")
    level = package.level
    package.addHandler(kept)
    if not package.isEnabledFor(logging.INFO):
        package.setLevel(logging.INFO)
    try:
        yield write_to
    finally:
        package.removeHandler(kept)
        package.setLevel(level)
        kept.close()
        for file in files:
            with suppress(OSError):  # the disk is full, which was said
                file.close()
