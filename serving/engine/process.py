"""The front process's hold on one engine: start it, give it batches, see that it lives, end it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.errors import BertMsError

from .frames import Channel, EngineGone, Frame, Garbled
from .shapes import Shape

logger = logging.getLogger(__name__)

_SETTINGS = "BERTMS_"  # what the server's settings are called in the environment
_QUIET = {
    "GLOG_v": "3",  # MindSpore's own log: errors only, unless the environment says otherwise
    "BERT_MS_MAP": "off",  # a file that is written over must not change, nor crash, the model that answers
}


class EngineRefused(Exception):
    """The engine says that the source cannot be served; starting it again would not help."""


class BatchFailed(Exception):
    """The network failed on a batch; the engine is there still, but a graph of it may be broken."""


class StaleCache(EngineGone):
    """Graphs that were kept from an earlier start are not to be trusted; they are deleted."""

    reason = "stale_cache"


@dataclass(frozen=True)
class Hello:
    """What an engine says of its network; see `programs.Program`."""

    pid: int
    pipeline: str
    task: str
    version: str
    device: str
    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...]
    takes_positions: bool
    shapes: tuple[Shape, ...]
    config: BertConfig
    transitions: np.ndarray | None = None
    takes_any_shape: bool = False
    precision: str = "float32"

    @classmethod
    def of(cls, frame: Frame) -> Hello:
        """The frame `hello`, read.

        Raises:
            Garbled: it is no such frame.
        """
        try:
            fields = dict(frame.fields)
            fields["config"] = BertConfig(**fields["config"])
            fields["shapes"] = tuple((int(rows), int(length)) for rows, length in fields["shapes"])
            for name in ("outputs", "row_outputs"):
                fields[name] = tuple(map(str, fields[name]))
            return cls(**fields, transitions=frame.arrays.get("transitions"))
        except (BertMsError, KeyError, TypeError, ValueError) as error:
            raise Garbled(f"the engine's first words cannot be read: {error}.") from None


@dataclass(frozen=True)
class Outcome:
    """Outputs of a batch by name, with the seconds that the network took, and whether it was compiled for it."""

    outputs: Mapping[str, np.ndarray]
    seconds: float
    compiled: bool = False


class EngineProcess:
    """One engine, running from now on. All but `kill` is for the thread that started it.

    The kernel ends the engine when that thread ends, so it has to live as long as the engine is needed.

    Args:
        job: what to open, see `programs.open_program`.
        on_exit: called from a thread of its own when the process has ended, however that came.
    """

    def __init__(self, job: Mapping[str, Any], *, on_exit: Callable[[], None] = lambda: None):
        self._job, self._on_exit = dict(job), on_exit
        self._folder = tempfile.mkdtemp(prefix="bert_ms_engine.")  # a compilation that fails writes where it stands
        mine, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.child", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=2,  # what MindSpore prints is no output of the server
            )
        except BaseException:
            mine.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            theirs.close()
        self._channel = Channel(mine)
        self._watch = threading.Thread(target=self._wait, name=f"engine-{self._process.pid}", daemon=True)
        self._watch.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    def open(self, *, timeout: float) -> Hello:
        """Have it open the network.

        Raises:
            EngineRefused: the source cannot be served.
            EngineGone: it died, or did not answer in time.
        """
        self._channel.send(Frame("open", self._job), timeout=timeout)
        frame = self._channel.receive(timeout=timeout)
        if frame.kind == "refused":
            raise EngineRefused(str(frame.fields.get("text")))
        return Hello.of(_expect(frame, "hello"))

    def warm(
        self,
        shapes: Sequence[Shape],
        *,
        timeout: float,
        on_progress: Callable[[int, int], None],
        compile_cache: str | None = None,
    ) -> dict[Shape, float]:
        """Have it compile shapes.

        Args:
            shapes: (rows, tokens).
            timeout: seconds without progress after which it counts as dead.
            on_progress: called with the number of shapes that are done, and of all.
            compile_cache: folder of kept graphs; None compiles.

        Returns:
            Seconds that each shape takes once it is compiled.

        Raises:
            StaleCache: graphs that were kept computed something else, and are deleted.
            EngineGone: it died, or made no progress in time.
        """
        fields = {"shapes": list(shapes), "compile_cache": compile_cache}
        self._channel.send(Frame("warm", fields), timeout=timeout)
        seconds: dict[Shape, float] = {}
        while (frame := self._channel.receive(timeout=timeout)).kind == "progress":
            rows, length = frame.fields["shape"]
            seconds[(rows, length)] = float(frame.fields["seconds"])
            on_progress(int(frame.fields["done"]), int(frame.fields["of"]))
        if frame.kind == "stale":
            raise StaleCache(f"compiled graphs were stale: {frame.fields.get('text')}")
        _expect(frame, "ready")
        return seconds

    def send(self, arrays: Mapping[str, np.ndarray], *, rows: int, timeout: float) -> None:
        """Give it a batch; `receive` waits for its outputs.

        Args:
            arrays: int32, in the network's order.
            rows: how many rows are meant; those after them are filling, for which nothing comes back.
            timeout: seconds.

        Raises:
            EngineGone: it died, or does not listen.
        """
        self._channel.send(Frame("batch", {"rows": rows}, arrays), timeout=timeout)

    def receive(self, *, timeout: float) -> Outcome:
        """The outputs of the batch that was sent last.

        Raises:
            BatchFailed: the network failed on it.
            EngineGone: it died, or did not answer in time.
        """
        frame = self._channel.receive(timeout=timeout)
        if frame.kind == "error":
            raise BatchFailed(str(frame.fields.get("text")))
        _expect(frame, "outputs")
        return Outcome(frame.arrays, float(frame.fields["seconds"]), bool(frame.fields["compiled"]))

    def ping(self, *, timeout: float) -> None:
        """See that it answers.

        Raises:
            EngineGone: it does not.
        """
        self._channel.send(Frame("ping"), timeout=timeout)
        _expect(self._channel.receive(timeout=timeout), "pong")

    def kill(self) -> None:
        """End it at once, even where it is stopped; safe from any thread and more than once."""
        if self.is_alive:
            self._process.send_signal(signal.SIGKILL)

    def close(self, *, timeout: float = 2.0) -> None:
        """End it, by its own will within `timeout` seconds, and leave nothing behind."""
        self._channel.close()
        until = time.monotonic() + timeout
        self._watch.join(max(until - time.monotonic(), 0))
        if self._watch.is_alive():
            self.kill()
            self._watch.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait(self) -> None:
        code = self._process.wait()
        logger.info("engine %d ended (%d)", self._process.pid, code)
        self._on_exit()


def _expect(frame: Frame, kind: str) -> Frame:
    if frame.kind != kind:
        raise Garbled(f"the engine said {frame.kind!r} where {kind!r} was expected.")
    return frame


def _environment() -> dict[str, str]:
    """This process's, without the server's own settings, keys among them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return {**_QUIET, **inherited, "PYTHONPATH": _search_path()}


def _search_path() -> str:
    """This process's module search path, absolute: the engine starts in another folder."""
    parts = [str(Path(part or os.curdir).resolve()) for part in sys.path]
    return os.pathsep.join(dict.fromkeys(parts))


__all__ = ["BatchFailed", "EngineGone", "EngineProcess", "EngineRefused", "Hello", "Outcome", "StaleCache"]
