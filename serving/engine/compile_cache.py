"""Compiled graphs kept for the next start, and not believed without proof.

MindSpore's compile cache is keyed on the order of compilations and on source files that it finds from the entry
script: by itself it gives a changed network the graphs of the old one, whose results are then wrong. Here every folder
is for one hash of all that decides a graph, the outputs of its first, uncached compilation lie beside it, and a start
that takes graphs from it compares every shape with them.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from .shapes import Shape

logger = logging.getLogger(__name__)

TOLERANCE = 1e-5
ROOMS = ("checkpoint", "config", "hub", "kernels", "model", "pipelines")
KEPT = 8  # folders, the latest used ones
Outputs = Mapping[Shape, Mapping[str, np.ndarray]]


class Stale(Exception):
    """The graphs that were kept compute something else; they are deleted."""


class CompileCache:
    """One folder of graphs.

    Args:
        root: folder of all caches, which only the server's user should be able to write to.
        key: JSON values, all that decides a graph.
        switch: tells MindSpore to use a folder, or none.
    """

    def __init__(self, root: Path, key: Mapping[str, Any], *, switch: Callable[[Path | None], None]):
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        self.folder = root / digest
        self._golden, self._mark = self.folder / "golden.npz", self.folder / "in_use"
        self._lock = FileLock(str(root / f"{digest}.lock"))
        self._switch = switch
        self.is_reused = False

    def begin(self) -> bool:
        """Compile into, or from, the folder from now on; False where another engine is at it, or it cannot be used.

        A folder that was not finished, or whose last user died with it, is begun anew.
        """
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(blocking=False)
            if self._mark.exists() or not self._golden.is_file():
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(exist_ok=True, mode=0o700)
            self._mark.touch()
        except Timeout:
            return False
        except OSError as error:  # no room, no right, no folder: that costs time, and not the model
            logger.warning("compiled graphs are not kept: %s", error)
            self._lock.release()
            return False
        self.is_reused = self._golden.is_file()
        self._switch(self.folder / "graphs")
        return True

    def settle(self, outputs: Outputs) -> None:
        """All shapes are compiled: prove the graphs that were taken, or keep the outputs of those that were made.

        Raises:
            Stale: a graph computes something else than when it was made.
        """
        self._switch(None)
        named = {f"{rows}x{length}/{name}": values for (rows, length), found in outputs.items()
                 for name, values in found.items()}  # fmt: skip
        problem = self._difference(named) if self.is_reused else None
        if problem is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.release()
            raise Stale(problem)
        try:
            if not self.is_reused:
                self._keep(named)
            os.utime(self._golden)
            self._mark.unlink()
            self._prune()
        except OSError as error:  # what was compiled is right nevertheless
            logger.warning("compiled graphs are not kept: %s", error)
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _keep(self, named: Mapping[str, np.ndarray]) -> None:
        """Write the outputs that a later start has to find again."""
        data = io.BytesIO()
        np.savez(data, **named)  # type: ignore[arg-type]
        scratch = self.folder / "golden.tmp.npz"
        scratch.write_bytes(data.getvalue())
        os.replace(scratch, self._golden)

    def _difference(self, found: Mapping[str, np.ndarray]) -> str | None:
        try:
            with np.load(self._golden, allow_pickle=False) as golden:
                expected = {name: golden[name] for name in golden.files}
        except (OSError, ValueError, EOFError, KeyError) as error:
            return f"its golden outputs cannot be read ({error})"
        for name, values in found.items():
            if name not in expected or expected[name].shape != values.shape:
                return f"{name} has no golden output of its shape"
            difference = float(np.abs(values - expected[name]).max(initial=0.0))
            if not difference <= TOLERANCE * max(1.0, float(np.abs(expected[name]).max(initial=0.0))):
                return f"{name} differs by {difference:.2g}"
        return None

    def _prune(self) -> None:
        """Delete the folders that were used longest ago."""
        finished = sorted(self.folder.parent.glob("*/golden.npz"), key=lambda path: -path.stat().st_mtime)
        for path in finished[KEPT:]:
            shutil.rmtree(path.parent, ignore_errors=True)


def sources_digest() -> str:
    """sha256 of every source file that can shape a graph: the library's rooms that build networks, and the engine."""
    import bert_ms

    library, digest = Path(bert_ms.__file__).parent, hashlib.sha256()
    for home in (*(library / room for room in ROOMS), Path(__file__).parent):
        for path in sorted(path for path in home.rglob("*") if path.suffix in (".py", ".cpp", ".h")):
            digest.update(f"{home.name}/{path.relative_to(home).as_posix()}\0".encode() + path.read_bytes())
    digest.update((library / "compat.py").read_bytes())
    return digest.hexdigest()
