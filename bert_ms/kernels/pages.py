"""Gives memory back that only the loading of libraries needed."""

from __future__ import annotations

import ctypes
import logging
import re
from pathlib import Path

logger = logging.getLogger(__name__)

_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)$")
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
    start, end, is_file, resident, dropped = 0, 0, False, 0, 0
    for line in smaps.read_text(encoding="utf-8", errors="replace").splitlines():
        mapping = _MAPPING.match(line)
        if mapping:
            start, end = int(mapping[1], 16), int(mapping[2], 16)
            is_file = mapping[3] in ("r-xp", "r--p") and mapping[4].startswith("/")
        elif line.startswith("Rss:"):
            resident = int(line.split()[1]) * 1024
        elif line.startswith("Anonymous:") and is_file and line.split()[1] == "0":
            failed = madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _DONTNEED)
            dropped += 0 if failed else resident
    logger.debug("%d MB of library pages let go", dropped >> 20)
    return dropped
