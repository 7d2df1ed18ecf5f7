"""Native operators compiled for another processor than this one, which can run them all the same."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bert_ms.kernels import build


def compiled(names: Sequence[str], flags: Sequence[str], folder: Path, *, needed: str) -> ctypes.CDLL:
    """Sources of those names as one library; skips where they cannot be compiled, or not be run.

    Args:
        names: of files of `build.SOURCES`, without ending.
        flags: for the processor that is meant.
        folder: gets the library.
        needed: the flag of /proc/cpuinfo that running it needs, with a space before it; "" for none.
    """
    found = build.compiler()
    if found is None or build.platform.machine().lower() not in ("x86_64", "amd64") or needed not in build._processor():
        pytest.skip(f"needs a C++ compiler and an x86 processor{' with' if needed else ''}{needed}")
    command = [*found.command, *build.FLAGS, "-O1", *flags]

    def one(name: str) -> str:
        target = folder / f"{name}.o"
        source = build.SOURCES / f"{name}.cpp"
        done = subprocess.run([*command, "-c", str(source), "-o", str(target)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(one, names))
    made = folder / "operators.so"
    subprocess.run([*command, "-shared", *objects, "-o", str(made)], check=True)
    return ctypes.CDLL(str(made))
