"""Gives memory back that only the loading of libraries needed."""

from __future__ import annotations

import ctypes
import logging
import re
from pathlib import Path

logger = logging.getLogger(__name__)

# A read-only mapping of a file with memory of which no page was changed: its first line, then lines of its numbers.
_UNCHANGED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) (?:r-xp|r--p) \S+ \S+ \d+ +/.*\n"
    rb"(?:[A-Z].*\n)*?Rss: +([1-9]\d*) kB\n(?:[A-Z].*\n)*?Anonymous: +0 kB$",
    re.MULTILINE,
)
_DONTNEED = 4  # MADV_DONTNEED of Linux


def drop_library_pages() -> int:
    """Let go of pages of libraries' code and constants that are as they are on disk; what is used comes back by itself.

    Importing MindSpore touches 240 MB of its libraries, of which a running network needs 60. Only read-only mappings of
    files without a single changed page are let go, so nothing can be lost. Linux only; elsewhere nothing happens.

    Returns:
        Bytes of memory that the dropped pages took.
    """
    smaps = Path("/proc/self/smaps")
    if not smaps.is_file():
        return 0
    madvise = ctypes.CDLL(None).madvise
    dropped = 0
    for first, last, resident_kb in _UNCHANGED.findall(smaps.read_bytes()):
        start, end = int(first, 16), int(last, 16)
        failed = madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)
        dropped += 0 if failed else int(resident_kb) * 1024
    logger.debug("%d MB of library pages let go", dropped >> 20)
    return dropped
