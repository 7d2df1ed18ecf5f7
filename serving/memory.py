"""Gives memory that was freed back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Have the C library return free pages; nothing where it cannot (it is not glibc).

    Each thread allocates from an arena of its own, and one small object that stays keeps all that lies below it: a
    vocabulary that was read by one thread and freed by another would count as this process's for good.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)
