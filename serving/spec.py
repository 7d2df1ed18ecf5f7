"""What is said of one served model: where it comes from, how it runs, how much may wait for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bert_ms.config import INT8
from bert_ms.errors import ConfigError

Engine = Literal["auto", "cell", "onnx"]
ENGINES = ("auto", "cell", "onnx")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One model of a server.

    Attributes:
        name: that requests ask for it by: letters, digits, and . _ - between them.
        source: a directory, a file, or a catalogue name.
        task: whose network is run; None takes what the weights were trained for. Any BERT embeds with "encoder".
        engine: "cell" runs MindSpore, "onnx" ONNX Runtime on an exported folder; "auto" goes by what the source is.
        device: auto, cpu, gpu or ascend.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16; or int8, on a CPU.
        threads: CPU threads of one operator; None leaves the runtime's choice.
        max_length: longest row in tokens; None takes the network's longest, or 512 where it has none.
        shapes: (rows, tokens) of the batches that are compiled before the first answer, the only ones that ever run;
            None chooses them by the device, see `engine.shapes`; a network that takes any shape is then not padded to
            them, but to a multiple of 8 tokens.
        max_batch_tokens: most tokens of a batch, padding among them; None is 4096 on CPU and 16384 elsewhere.
        max_queue_items: most rows that wait; a long text is several.
        max_queue_tokens: most tokens that wait.
        max_queue_seconds: most seconds of work that wait, as far as can be foretold; more would only time out.
        watchdog_seconds: an engine that is silent for longer, or for 20 times the 99th percentile of its batches where
            that is more, is taken for dead.
        start_seconds: one that shows no progress for so long while it starts is taken for dead.
        ping_seconds: an idle engine is asked this often whether it lives.
        restart_limit: so many deaths in a row before the model counts as failed and is tried once a minute only.
        compile_cache: folder that keeps compiled graphs for the next start; None compiles at every start. Only the
            server's user should be able to write to it.
        allow_new_head: serve though the weights have no head for the task, which is then random (for tests).

    Raises:
        ConfigError: a value that cannot be used; all of them are named.
    """

    name: str
    source: str
    task: str | None = None
    engine: Engine = "auto"
    device: str = "auto"
    dtype: str | None = None
    threads: int | None = None
    max_length: int | None = None
    shapes: tuple[tuple[int, int], ...] | None = None
    max_batch_tokens: int | None = None
    max_queue_items: int = 512
    max_queue_tokens: int = 65_536
    max_queue_seconds: float = 10.0
    watchdog_seconds: float = 10.0
    start_seconds: float = 300.0
    ping_seconds: float = 10.0
    restart_limit: int = 5
    compile_cache: str | None = None
    allow_new_head: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not _NAME.fullmatch(self.name):
            problems.append(f"name is {self.name!r}: expected up to 128 letters and digits, with . _ - between them.")
        if self.engine not in ENGINES:
            problems.append(f"engine is {self.engine!r}: expected one of {', '.join(ENGINES)}.")
        for field in ("threads", "max_length", "max_batch_tokens"):
            value = getattr(self, field)
            if value is not None and value < 1:
                problems.append(f"{field} is {value}: expected at least 1, or nothing.")
        for field in ("max_queue_items", "max_queue_tokens", "restart_limit"):
            if getattr(self, field) < 1:
                problems.append(f"{field} is {getattr(self, field)}: expected at least 1.")
        for field in ("max_queue_seconds", "watchdog_seconds", "start_seconds", "ping_seconds"):
            if not getattr(self, field) > 0:
                problems.append(f"{field} is {getattr(self, field)}: expected more than 0.")
        if self.dtype == INT8 and self.device in ("gpu", "ascend"):
            problems.append(f"dtype is int8 and device {self.device}: int8 is for a CPU. Use float16, or device cpu.")
        if self.shapes is not None and (not self.shapes or any(rows < 1 or size < 4 for rows, size in self.shapes)):
            problems.append(f"shapes is {list(self.shapes)}: expected (rows, tokens), at least (1, 4).")
        if problems:
            raise ConfigError(problems, source=f"model {self.name!r}")
