"""The engine process: opens a network, compiles its shapes, then answers batches until its connection closes."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import math
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.errors import BertMsError
from bert_ms.training.processes import die_with_parent

from .compile_cache import Stale
from .frames import Channel, EngineGone, Frame
from .programs import Program, open_program

logger = logging.getLogger(__name__)

_TIMED = 2  # runs of each shape, of which the shorter counts


def main(argv: list[str]) -> int:
    """Serve on the socket whose number is the first argument; the second is the parent's process id."""
    die_with_parent()
    if os.getppid() != int(argv[1]):  # it ended before the kernel was told
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # the front process decides when this one ends
        signal.signal(number, signal.SIG_IGN)
    # MindSpore looks through the entry script's imports for its compile cache, and fails on relative ones: show it an
    # empty one; what the graphs depend on is hashed in `compile_cache`.
    sys.argv[0] = str(Path(__file__).with_name("__init__.py"))
    logging.basicConfig(level=logging.WARNING, format=f"engine {os.getpid()}: %(levelname)s %(name)s: %(message)s")
    channel = Channel(socket.socket(fileno=int(argv[0])))
    with contextlib.suppress(EngineGone):  # the front process has closed
        serve(channel)
    # MindSpore's own threads may outlive the interpreter's end, or hang it.
    sys.stderr.flush()
    os._exit(0)


def serve(channel: Channel) -> None:
    """Answer frames until the other side closes.

    The first has to be `open`, which is answered by `hello` or `refused`; then `warm` compiles shapes, with `progress`
    for each; `batch` gives `outputs` or `error`, and `ping` gives `pong`.

    Raises:
        EngineGone: the other side has closed.
    """
    program = _open(channel)
    if program is None:
        return
    seen: set[tuple[int, ...]] = set()
    while True:
        frame = channel.receive()
        if frame.kind == "warm":
            if not _warm(channel, program, frame, seen):
                return
        elif frame.kind == "batch":
            channel.send(_batch(program, frame, seen))
        else:
            channel.send(Frame("pong"))


def _open(channel: Channel) -> Program | None:
    job = channel.receive().fields
    try:
        program = open_program(job)
    except (BertMsError, OSError, MemoryError) as error:
        channel.send(Frame("refused", {"text": f"{error or type(error).__name__}"}))
        return None
    except Exception as error:  # whatever it is, the operator has to see it
        logger.exception("the network cannot be opened")
        channel.send(Frame("refused", {"text": f"{type(error).__name__}: {error}"}))
        return None
    channel.send(_hello(program))
    return program


def _hello(program: Program) -> Frame:
    fields = {
        "pid": os.getpid(),
        "pipeline": program.pipeline,
        "task": program.task,
        "version": program.version,
        "device": program.device,
        "outputs": program.outputs,
        "row_outputs": program.row_outputs,
        "takes_positions": program.takes_positions,
        "takes_any_shape": program.takes_any_shape,
        "shapes": program.shapes,
        "precision": program.opened.precision,
        "config": dataclasses.asdict(program.opened.config),
    }
    transitions = program.transitions
    return Frame("hello", fields, {} if transitions is None else {"transitions": transitions.astype(np.float32)})


def _warm(channel: Channel, program: Program, frame: Frame, seen: set[tuple[int, ...]]) -> bool:
    """Compile what is to be compiled, and see how long each shape takes; False where that led nowhere."""
    shapes = [(int(rows), int(length)) for rows, length in frame.fields["shapes"]]
    cache = program.compile_cache(frame.fields["compile_cache"], shapes)
    is_cached = cache is not None and cache.begin()
    outputs = {}
    gc.freeze()  # for each graph MindSpore collects garbage, which would look through every object that is here to stay
    if program.takes_any_shape:
        program.run(program.spread_ids(max(shapes, key=math.prod)))  # the largest: later ones find their memory there
    for done, (rows, length) in enumerate(shapes, 1):
        arrays = program.spread_ids((rows, length))
        if not program.takes_any_shape:
            program.run(arrays)
        seen.add((rows, length))
        seconds = math.inf
        for _ in range(_TIMED):
            begin = time.perf_counter()
            outputs[(rows, length)] = {name: values[:1] for name, values in program.run(arrays).items()}
            seconds = min(seconds, time.perf_counter() - begin)
        channel.send(Frame("progress", {"done": done, "of": len(shapes), "shape": [rows, length], "seconds": seconds}))
    if cache is not None and is_cached:
        try:
            cache.settle(outputs)
        except Stale as error:
            channel.send(Frame("stale", {"text": str(error)}))
            return False
    channel.send(Frame("ready"))
    return True


def _batch(program: Program, frame: Frame, seen: set[tuple[int, ...]]) -> Frame:
    arrays = list(frame.arrays.values())
    is_new = not program.takes_any_shape and arrays[0].shape not in seen
    seen.add(arrays[0].shape)
    begin = time.perf_counter()
    try:
        outputs = program.run(arrays)
    except Exception as error:  # of the network or its runtime; the front process tries the rows one by one
        logger.exception("a batch %s failed", arrays[0].shape)
        return Frame("error", {"text": f"{type(error).__name__}: {str(error)[:2000]}"})
    fields: dict[str, Any] = {"seconds": time.perf_counter() - begin, "compiled": is_new}
    rows = int(frame.fields["rows"])  # the others are filling
    return Frame("outputs", fields, {name: np.asarray(a[:rows], np.float32) for name, a in outputs.items()})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
