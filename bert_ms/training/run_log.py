"""The run's log file, whose end on a full disk is one line instead of a traceback for each message."""

from __future__ import annotations

import logging
import sys

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
