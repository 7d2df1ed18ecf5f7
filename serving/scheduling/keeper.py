"""The thread that owns an engine: it starts it, starts it again when it dies, and feeds it."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ..engine.process import EngineGone, EngineProcess, EngineRefused, Hello
from ..faults import DeadlineExceeded, Unavailable
from ..service import State
from ..spec import ModelSpec
from .feeding import Feeder
from .queue import RowQueue
from .rows import Row, Submission
from .starting import Started, bring_up

logger = logging.getLogger(__name__)

_JOB = ("task", "engine", "device", "dtype", "threads", "allow_new_head")
_LONGEST_BACKOFF, SLOW_RETRY = 30.0, 60.0


class Keeper:
    """An engine that is there again when it dies.

    One thread starts the engine, warms it, checks it by its canary and feeds it; it is the thread that the kernel ties
    the engine's life to.

    Args:
        spec: of the model.
        source: resolved; what the engine opens.
        longest: tokens of the longest row, where less is wanted than the network takes.
        accept: called with what the engine says of its network before anything is compiled; what it raises ends the
            start.
        tell: told of events; see `service.Repository`.
        start: starts an engine.
    """

    def __init__(
        self,
        spec: ModelSpec,
        source: str,
        *,
        longest: int | None = None,
        accept: Callable[[Hello], None] = lambda hello: None,
        tell: Callable[..., None] = lambda event, **values: None,
        start: Callable[..., Any] = EngineProcess,
    ):
        self._spec, self._source, self._longest = spec, source, longest
        self._accept, self._told, self._start = accept, tell, start
        self.hello: Hello | None = None
        self.longest = 0
        self.reason = "starting"
        self.counts: Counter[str] = Counter()
        self._state: State = "loading"
        self._queue: RowQueue | None = None
        self._started: Started | None = None
        self._feeder: Feeder | None = None
        self._engine: Any = None
        self._may_start_again = spec.compile_cache is not None
        self._deaths = 0  # in a row, without an answer between them
        self._start_began, self._start_seconds = time.monotonic(), 0.0
        self._is_closing = self._is_abandoned = False
        self._settled = threading.Event()  # ready, or failed, for the first time
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._live, name=f"keeper-{spec.name}", daemon=True)

    @property
    def state(self) -> State:
        """loading, ready, restarting, draining or failed."""
        return self._state

    @property
    def max_items(self) -> int:
        """Most rows that a request may have."""
        return self._spec.max_queue_items

    @property
    def pid(self) -> int | None:
        """The engine's process id; None while there is none."""
        engine = self._engine
        return None if engine is None else engine.pid

    def start(self) -> None:
        """Begin; `wait_started` waits for the end of it."""
        self._thread.start()

    def wait_started(self, timeout: float | None = None) -> bool:
        """Wait until the engine is ready, or has failed; whether it is ready."""
        self._settled.wait(timeout)
        return self._state == "ready"

    def answer(self, submission: Submission) -> tuple[Row, ...]:
        """The rows of a request with their outputs, waited for.

        Raises:
            ServiceFault: there is no engine, no room, no time, or the network failed.
        """
        queue = self._open_queue(submission)
        queue.submit(submission)
        if self._is_abandoned or self._state == "failed":  # since it was asked
            queue.drop(submission, self._unavailable())
        if not submission.wait():
            queue.drop(submission, DeadlineExceeded("the answer was not there in time."))
        return submission.outcome()

    def stats(self) -> dict[str, Any]:
        """Numbers for metrics; see `service.ServedModel`."""
        queue, feeder = self._queue, self._feeder
        names = ("engine_restarts", "compiles", "batches", "rows", "tokens", "padded_tokens", "errors", "rejected")
        return {
            "queue_items": queue.items if queue else 0,
            "queue_tokens": queue.tokens if queue else 0,
            "inflight": feeder.inflight if feeder else 0,
            "engine_up": int(self._state == "ready"),
            "infer_seconds": self.counts["infer_microseconds"] / 1e6,
            **{name: self.counts[name] for name in names},
        }

    def close(self) -> None:
        """End the engine; what still waits is refused."""
        self._is_closing = self._is_abandoned = True
        if self._state != "failed":
            self._change("draining", "it is being taken out")
        if (queue := self._queue) is not None:
            queue.drop_all(self._unavailable())
            queue.wake()
        if (engine := self._engine) is not None and self._feeder is None:
            engine.kill()  # it may compile for long yet
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout=self._spec.watchdog_seconds + 10.0)
            if self._thread.is_alive() and (engine := self._engine) is not None:
                engine.kill()
                self._thread.join()
        if queue is not None:
            queue.drop_all(self._unavailable())
        self._settled.set()

    def _live(self) -> None:
        while not self._is_closing:
            self._pause()
            if self._is_closing:
                break
            try:
                self._once()
            except EngineRefused as error:
                self._fail(str(error))
                break
            except EngineGone as gone:
                self._restarts(gone)
            except Exception as error:  # nothing else may end the thread while requests wait for it
                logger.exception("model %s: the engine's thread failed", self._spec.name)
                self._restarts(EngineGone(f"{type(error).__name__}: {error}"))
        # Both refer back to this: together they would stay, with the tokenizer, until the garbage collector comes.
        self._feeder = self._queue = None
        self._settled.set()

    def _once(self) -> None:
        """One engine's life."""
        self._start_began = time.monotonic()
        job = {key: getattr(self._spec, key) for key in _JOB} | {"source": self._source}
        self._engine = engine = self._start(job, on_exit=self._wake)
        try:
            started = bring_up(
                engine,
                self._spec,
                before=self._started,
                longest=self._longest,
                accept=self._accept,
                say=self._say,
            )
            hello = started.hello
            feeder = Feeder(
                engine,
                self._ready_queue(started),
                started.canary,
                pad_token=hello.config.pad_token_id or 0,
                with_positions=hello.takes_positions,
                row_outputs=hello.row_outputs,
                watchdog_seconds=self._spec.watchdog_seconds,
                ping_seconds=self._spec.ping_seconds,
                is_closing=lambda: self._is_closing,
                tell=self.tell,
            )
            self._feeder, self._start_seconds = feeder, time.monotonic() - self._start_began
            if not self._is_closing:
                self._change("ready", "")
            self._settled.set()
            feeder.run()
        finally:
            self._engine = None
            if engine.is_alive and not self._is_closing:
                engine.kill()
            engine.close()

    def _ready_queue(self, started: Started) -> RowQueue:
        """The queue, which outlives the engines, with the costs of this one."""
        spec, queue = self._spec, self._queue
        if queue is None:
            queue = RowQueue(
                started.costs,
                max_items=spec.max_queue_items,
                max_tokens=spec.max_queue_tokens,
                max_seconds=spec.max_queue_seconds,
                on_drop=lambda reason: self.tell("rejected", reason=reason),
            )
        else:
            queue.recost(started.costs)
        self.longest = started.costs.lengths[-1]
        self.hello, self._started, self._queue = started.hello, started, queue
        return queue

    def _open_queue(self, submission: Submission) -> RowQueue:
        queue = self._queue
        if queue is None or self._is_closing or self._state not in ("ready", "restarting"):
            raise self._refusal()
        ready = self._start_began + self._start_seconds
        if self._state == "restarting" and ready >= submission.call.deadline:  # it would wait in vain
            raise self._refusal()
        return queue

    def _refusal(self) -> Unavailable:
        fault = self._unavailable()
        self.tell("rejected", reason=fault.code)
        return fault

    def _unavailable(self) -> Unavailable:
        code = {"restarting": "engine_restarting", "failed": "engine_failed"}.get(self._state, self._state)
        if self._is_closing and self._state != "failed":
            code = "draining"
        after = {"failed": SLOW_RETRY, "loading": 5.0}.get(self._state, 1.0)
        if self._state == "restarting":
            after = max(round(self._start_began + self._start_seconds - time.monotonic()), 1.0)
        why = (self.reason or code).removesuffix(".")
        return Unavailable(f"model {self._spec.name!r} is not ready: {why}.", code=code, retry_after=after)

    def _restarts(self, gone: EngineGone) -> None:
        """An engine is gone: say so, refuse what it worked on, and start the next one, unless too many died."""
        if self._may_start_again and not self._settled.is_set():
            self._may_start_again = False  # graphs that were kept may have killed it; they are deleted by now
            logger.warning("model %s: %s; starting again", self._spec.name, gone)
            return
        self._deaths += 1
        if not self._is_closing:
            self._say_gone(gone)
        if self._feeder is not None:
            self._feeder.refuse(gone.reason)
            self._feeder = None

    def _say_gone(self, gone: EngineGone) -> None:
        logger.error("model %s: the engine is gone (%s): %s", self._spec.name, gone.reason, gone)
        self.tell("engine_restart", reason=gone.reason)
        if not self._settled.is_set() or self._deaths > self._spec.restart_limit:
            self._fail(f"the engine {gone.reason}: {gone}")
        else:
            self._change("restarting", f"the engine {gone.reason} and is started again")

    def _fail(self, reason: str) -> None:
        logger.error("model %s failed: %s", self._spec.name, reason)
        self._change("failed", reason)
        if self._queue is not None:
            self._queue.drop_all(self._unavailable())
        self._settled.set()

    def _pause(self) -> None:
        """Wait before the next start: not at all after the first death, longer after each further one."""
        seconds = 0.0
        if self._state == "failed":
            seconds = SLOW_RETRY
        elif self._deaths > 1:
            seconds = min(0.5 * 2.0 ** (self._deaths - 2), _LONGEST_BACKOFF)
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, seconds)

    def _say(self, reason: str) -> None:
        self.reason = reason

    def _change(self, state: State, reason: str) -> None:
        self._state, self.reason = state, reason
        self.tell("state", state=state)

    def _wake(self) -> None:
        """The engine's process has ended."""
        if (queue := self._queue) is not None:
            queue.wake()

    def tell(self, event: str, **values: Any) -> None:
        """Count an event, and pass it on."""
        count: Mapping[str, int] = {
            "batch": {
                "batches": 1,
                "rows": values.get("rows", 0),
                "tokens": values.get("tokens", 0),
                "padded_tokens": values.get("padded", 0),
                "infer_microseconds": round(values.get("infer_seconds", 0.0) * 1e6),
            },
            "rejected": {"rejected": 1},
            "engine_restart": {"engine_restarts": 1},
            "compile": {"compiles": 1},
            "error": {"errors": 1},
        }.get(event, {})
        self.counts.update(count)
        if event == "batch":
            self._deaths = 0
        self._told(event, **values)
