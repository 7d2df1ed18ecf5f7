"""One request with what is learnt of it on its way: who, which model, how much, how long."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from ..service import TIMINGS, Call
from .problems import Dialect

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass
class Exchange:
    """A request and what came of it.

    Attributes:
        request_id: the client's own where it is one, else new.
        dialect: that errors are told in.
        call: deadline, cancellation and timings, for the models.
        operation: name of the route's operation; "unknown" where no route fits.
        route: its path, as the table of routes writes it.
        method: of HTTP.
        client: address that it came from.
        bytes_in: of its body.
        begun: on the clock of `time.perf_counter`.
        begun_at: on the clock of `time.time_ns`.
        kind: of request; empty where no model is asked.
        model: name of the one that was asked; empty before it is known to be one.
        items: inputs.
        tokens: of all inputs.
        code: of the refusal; empty where there was none.
        pointer: where the input of a number stands in the body.
        undo: called when the answer is there.
    """

    request_id: str
    dialect: Dialect
    call: Call
    operation: str = "unknown"
    route: str = "unknown"
    method: str = ""
    client: str | None = None
    bytes_in: int = 0
    begun: float = field(default_factory=time.perf_counter)
    begun_at: int = field(default_factory=time.time_ns)
    kind: str = ""
    model: str = ""
    items: int = 0
    tokens: int = 0
    code: str = ""
    pointer: Callable[[int], str] = field(default=lambda index: f"/inputs/{index}")
    undo: list[Callable[[], None]] = field(default_factory=list)

    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.begun

    def server_timing(self) -> str:
        """Header Server-Timing, in milliseconds."""
        timings = self.call.timings
        return ", ".join(f"{name};dur={1000 * timings[name]:.2f}" for name in TIMINGS if name in timings)


_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


def current() -> Exchange:
    """The one that this thread works on."""
    found = _current.get()
    assert found is not None, "asked within a request"
    return found


def known() -> Exchange | None:
    """The one that this thread works on, if it works on one."""
    return _current.get()


def work_on(exchange: Exchange | None) -> None:
    """Make it the one that this thread works on; None when it is over."""
    _current.set(exchange)


def request_id_of(given: str | None) -> str:
    """A client's request id if it is one that may stand in logs and headers, else a new one."""
    return given if given and _ID.fullmatch(given) else secrets.token_hex(16)
