"""Engines in this process: what the schedule does can be seen without a network, or with one that needs no process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from serving.engine.process import EngineGone, EngineRefused, Hello, Outcome
from serving.engine.programs import Program
from serving.engine.shapes import Shape

VOCAB = 1000
CONFIG = BertConfig(
    vocab_size=VOCAB, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
    max_position_embeddings=64, task="question-answering",
)  # fmt: skip
HELLO = Hello(
    pid=1, pipeline="question-answering", task="question-answering", version="v1", device="cpu",
    outputs=("start_logits", "end_logits"), row_outputs=(), takes_positions=False, shapes=(), config=CONFIG,
)  # fmt: skip


def of_ids(arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
    """Outputs that tell which ids they were made from, so that an answer which crossed is seen."""
    ids = arrays["input_ids"][:rows].astype(np.float32)
    return Outcome({"start_logits": ids, "end_logits": -ids}, 1e-5 * (100 + arrays["input_ids"].size))


class World:
    """Starts engines and sees what they are given.

    Attributes:
        compute: outputs of a batch; may raise what an engine raises.
        greet: what an engine says first; may raise `EngineRefused` or `EngineGone`.
        gate: batches wait until it is set.
        seconds: that a shape takes at warm-up.
        batches: (ids [B, S], rows) of each batch that ran, canaries among them.
        engines: every one that was started.
    """

    def __init__(self) -> None:
        self.compute: Callable[[Mapping[str, np.ndarray], int], Outcome] = of_ids
        self.greet: Callable[[], Hello] = lambda: HELLO
        self.seconds: Callable[[Shape], float] = lambda shape: 1e-5 * (100 + shape[0] * shape[1])
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[tuple[np.ndarray, int]] = []
        self.engines: list[FakeEngine] = []

    def start(self, job: Mapping[str, Any], *, on_exit: Callable[[], None]) -> FakeEngine:
        self.engines.append(FakeEngine(self, on_exit))
        return self.engines[-1]


class FakeEngine:
    """One engine of a world."""

    def __init__(self, world: World, on_exit: Callable[[], None]):
        self.world, self.on_exit, self.is_alive, self.pid = world, on_exit, True, 1
        self.sent: tuple[Mapping[str, np.ndarray], int] | None = None
        self.pings = 0

    def open(self, *, timeout: float) -> Hello:
        return self.world.greet()

    def warm(
        self, shapes: Sequence[Shape], *, timeout: float, on_progress: Any, compile_cache: str | None
    ) -> dict[Shape, float]:
        on_progress(len(shapes), len(shapes))
        return {shape: self.world.seconds(shape) for shape in shapes}

    def send(self, arrays: Mapping[str, np.ndarray], *, rows: int, timeout: float) -> None:
        self._see_alive()
        assert self.sent is None, "an engine has one batch at a time"
        self.sent = arrays, rows

    def receive(self, *, timeout: float) -> Outcome:
        assert self.sent is not None
        (arrays, rows), self.sent = self.sent, None
        until = time.monotonic() + timeout
        while not self.world.gate.wait(0.001) and time.monotonic() < until:
            self._see_alive()
        self.world.batches.append((arrays["input_ids"].copy(), rows))
        outcome = self.world.compute(arrays, rows)
        self._see_alive()
        return outcome

    def ping(self, *, timeout: float) -> None:
        self._see_alive()
        self.pings += 1

    def kill(self) -> None:
        if self.is_alive:
            self.is_alive = False
            self.on_exit()

    def close(self) -> None:
        self.kill()

    def _see_alive(self) -> None:
        if not self.is_alive:
            raise EngineGone("it was killed.")


class ProgramEngine(FakeEngine):
    """A real network in this process."""

    def __init__(self, program: Program, on_exit: Callable[[], None]):
        super().__init__(World(), on_exit)
        self.program = program
        self.world.compute = self._run
        config, transitions = program.opened.config, program.transitions
        self.world.greet = lambda: Hello(
            pid=1, pipeline=program.pipeline, task=program.task, version=program.version, device=program.device,
            outputs=program.outputs, row_outputs=program.row_outputs, takes_positions=program.takes_positions,
            shapes=program.shapes, config=config, transitions=transitions,
        )  # fmt: skip

    def _run(self, arrays: Mapping[str, np.ndarray], rows: int) -> Outcome:
        outputs = self.program.run(list(arrays.values()))
        return Outcome({name: values[:rows] for name, values in outputs.items()}, 0.001)


def refuse(text: str) -> Callable[[], Hello]:
    def greet() -> Hello:
        raise EngineRefused(text)

    return greet


def descriptors() -> int:
    """Open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
