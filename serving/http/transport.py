"""Waitress, made strict: slow clients get a 408, ambiguous requests a 400, and refusals the wire's own form."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

from ..service import Parking
from ..settings import ServerSettings
from . import turns
from .parsing import Parser, Timeout
from .polling import Connections
from .tasks import IDENT, Answer, Refused
from .threads import Threads

logger = logging.getLogger("bert_ms.transport")
SPARE_THREADS = 32  # beyond the requests in flight, so that the next ones are refused and not left waiting
LINGER_SECONDS = 2.0
SILENT_SECONDS = 1.0  # of a connection that may be closed where there is room for no more
IN_MEMORY = 256 * 1024  # bytes of a body; longer ones go through a file, so that many slow ones cost no memory


class Channel(HTTPChannel):  # type: ignore[misc]
    """A connection.

    Attributes:
        gone: set when the client has closed it.
        environ: of WSGI, as far as it is the same for all its requests.
        parking: of the request that is being answered, where it has no thread of its own.
        must_linger: whether the client may still be sending when it is closed.
        lingers_until: when it is cut at the latest, on the clock of `time.monotonic`; None while it is in use.
    """

    parser_class, task_class, error_task_class = Parser, Answer, Refused
    close_when_flushed: bool
    request: Parser | None
    parking: Parking | None = None
    must_linger = False
    lingers_until: float | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        self.gone = threading.Event()
        super().__init__(*args, **kwargs)
        self.environ = _environ(self.server, self.addr)
        self.environ["waitress.client_disconnected"] = self.check_client_disconnected

    def service(self) -> None:
        """Answer a request; see `Server.pull_trigger`."""
        self.server.answering.channel = self
        try:
            super().service()
        finally:
            self.server.answering.channel = None
            self.server.map.changed(self)

    def service_in_turn(self, parking: Parking) -> None:
        """Answer a request in the thread that reads and writes, which goes on with others while it waits."""
        self.parking = parking
        try:
            super().service()
        finally:
            self.parking = None
            self.server.map.changed(self)

    def _flush_outbufs_below_high_watermark(self) -> None:
        if self.parking is None:  # the thread that writes cannot wait until it has written
            super()._flush_outbufs_below_high_watermark()

    def send_whole(self, data: bytes) -> None:
        """Send an answer, without a buffer between where nothing waits to be sent before it.

        Raises:
            ClientDisconnected: nobody is there to read it.
        """
        with self.outbuf_lock:
            if self.connected and not self.total_outbufs_len:
                with contextlib.suppress(OSError):  # met again, and dealt with, where the rest is written
                    data = data[self.send(data, do_close=False) :]
        self.write_soon(data)

    def is_idle(self, now: float) -> bool:
        """Whether nothing is asked by it, or on its way to it."""
        is_silent = now - self.last_activity > SILENT_SECONDS
        return is_silent and self.request is None and not (self.requests or self.total_outbufs_len)

    def awaits_loop(self) -> bool:
        """Whether the thread that reads and writes has to look at it again: to write, to close, or to read on."""
        return bool(self.total_outbufs_len or self.will_close or self.close_when_flushed or self.requests)

    def handle_close(self) -> None:
        self.gone.set()
        super().handle_close()

    def readable(self) -> bool:
        return bool(super().readable()) or (self.lingers_until is not None and not self.will_close)

    def handle_read(self) -> None:
        if self.lingers_until is None:
            super().handle_read()
            return
        try:
            self.recv(self.adj.recv_bytes)  # thrown away; it closes the channel where the client has
        except OSError:
            self.handle_close()

    def handle_write(self) -> None:
        """As waitress does; but a client that may still be sending has to get its refusal before the line is cut.

        Closing a socket with unread bytes resets the connection, and the answer may be lost with it (RFC 9112,
        section 9.6): only the sending half is closed, and what arrives is thrown away for a while.
        """
        if not (self.must_linger and self.close_when_flushed) or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close or not self.connected:
            self.handle_close()
        elif not self.total_outbufs_len:
            self.close_when_flushed = False
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:
                self.handle_close()
            else:
                self.lingers_until = time.monotonic() + LINGER_SECONDS

    def give_up_if_slow(self, now: float, header_timeout: float, body_timeout: float) -> None:
        """Answer 408 where a request has been arriving for too long; called by the thread that reads."""
        if self.lingers_until is not None:
            self.will_close = now > self.lingers_until
            return
        with self.requests_lock:
            partial = self.request
            if partial is None or self.requests:
                return
            if now - partial.begun < (body_timeout if partial.headers_finished else header_timeout):
                return
            partial.error, partial.completed = Timeout("the request arrived too slowly"), True
            self.request = None
            self.requests.append(partial)
        self.server.add_task(self)


class _Answering(threading.local):
    """The connection whose request this thread answers; None where it does something else."""

    channel: Channel | None = None


def _environ(server: Any, address: Any) -> dict[str, Any]:
    """What WSGI's environment has for every request of a connection."""
    return {
        "REMOTE_ADDR": address[0],
        "REMOTE_HOST": address[0],
        "REMOTE_PORT": str(address[1]),
        "SERVER_PORT": str(server.effective_port),
        "SERVER_NAME": server.server_name,
        "SERVER_SOFTWARE": server.adj.ident,
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": ReadOnlyFileBasedBuffer,
        "wsgi.input_terminated": True,
    }


def _nothing(environ: Any, start_response: Any) -> Any:
    raise RuntimeError("the server was not started")


class Server(TcpWSGIServer):  # type: ignore[misc]
    """One port, served by a thread that reads and writes and by threads that answer.

    It is taken when this is made; connections are accepted from `start` on.

    Args:
        host: address.
        port: 0 takes a free one; `effective_port` has it.
        settings: limits.
        threads: that answer, at most.

    Attributes:
        on_refused: called with the code of what was refused before the application saw it.

    Raises:
        OSError: the port is in use, or may not be taken.
    """

    channel_class = Channel

    def __init__(
        self,
        *,
        host: str,
        port: int,
        settings: ServerSettings,
        threads: int,
    ):
        self.settings = settings
        self.on_refused: Callable[[str], None] = lambda code: None
        self._called: Callable[..., Any] = _nothing
        self.map = Connections()
        self.answering = _Answering()
        self._is_ending, self._is_closed = threading.Event(), False
        self._trigger_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_short: Callable[[Any], bool] = lambda request: False
        self._turns: turns.Turns | None = None
        adjustments = Adjustments(
            host="127.0.0.1" if host == "localhost" else host.strip("[]"),
            port=port,
            threads=threads,
            connection_limit=settings.max_connections,
            channel_timeout=settings.idle_timeout,
            max_request_header_size=settings.max_header_bytes,
            max_request_body_size=settings.max_body_bytes + 1,  # waitress refuses what is as large as this
            inbuf_overflow=IN_MEMORY,
            outbuf_overflow=64 << 20,
            channel_request_lookahead=1,  # so that a client that goes away is noticed while it is answered
            recv_bytes=65_536,
            asyncore_use_poll=True,
            ident=IDENT,
            server_name=IDENT,
            expose_tracebacks=False,
            clear_untrusted_proxy_headers=False,  # tasks.Answer leaves them out; a wrapper would cost more
            log_socket_errors=False,
        )
        # Not above, where waitress would round it: 0 looks at every connection all the time.
        adjustments.cleanup_interval = min(1.0, settings.header_timeout / 4, settings.body_timeout / 4)
        super().__init__(
            lambda environ, start_response: self._called(environ, start_response),
            map=self.map,
            _start=False,
            dispatcher=Threads(threads),
            adj=adjustments,
            sockinfo=adjustments.listen[0],
        )

    def pull_trigger(self) -> None:
        """Wake the thread that reads and writes.

        Waitress does so after every answer. It would look at each connection and find nothing to do where the thread
        that answers has sent all of it: the connection is being listened to all the while.
        """
        channel = self.answering.channel
        if channel is not None:
            self.map.changed(channel)
        if not self._is_loop() and (channel is None or channel.awaits_loop()):
            self._wake()

    def _wake(self) -> None:
        """As `pull_trigger`, whoever asks; nothing once the port is closed: its pipe's number may be another file's."""
        with self._trigger_lock:
            if not self._is_closed:
                super().pull_trigger()

    def add_task(self, task: Any) -> None:
        """Have a connection's request answered: by a thread, or, where it is a short one, in turn with others."""
        if self._turns is not None and self._is_loop() and isinstance(task, Channel) and not task.total_outbufs_len:
            request = task.requests[0]
            if request.error is None and self._is_short(request):
                self._turns.begin(task.service_in_turn)
                return
        super().add_task(task)

    def maintenance(self, now: float) -> None:
        """Close silent connections, as waitress does; give up slow ones; called about each second."""
        super().maintenance(now)
        clock, settings = time.monotonic(), self.settings
        for channel in list(self.active_channels.values()):
            channel.give_up_if_slow(clock, settings.header_timeout, settings.body_timeout)
        if len(self.map) >= self.adj.connection_limit:
            self._make_room(now)
        self.map.all_changed()

    def _make_room(self, now: float) -> None:
        """Close the connections that were silent longest, so that whoever comes now is not kept out by them."""
        idle = [one for one in self.active_channels.values() if one.is_idle(now)]
        for channel in sorted(idle, key=lambda one: one.last_activity)[: max(1, self.adj.connection_limit // 4)]:
            channel.will_close = True

    def start(self, application: Any, *, is_short: Callable[[Any], bool] | None = None) -> None:
        """Begin to serve a WSGI application, in a thread.

        Args:
            application: to call.
            is_short: whether a request does not wait but at its call's parking; those are answered in turn, without
                threads of their own, where the package for it is installed.
        """
        self._called = application
        if is_short is not None and turns.are_there():
            self._is_short, self._turns = is_short, turns.Turns(self._wake)
        self.accept_connections()
        name = f"port-{self.effective_port}"
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._is_ending.is_set():
            try:
                timeout = 1.0 if self._turns is None else self._turns.timeout(1.0)
                self.map.wait(timeout, (self,))
                if self._turns is not None:
                    self._turns.run()
            except Exception:  # one connection's trouble must not end the port
                logger.exception("the loop of port %s failed, and goes on", self.effective_port)
                time.sleep(0.1)

    def _is_loop(self) -> bool:
        return self._thread is not None and self._thread.ident == threading.get_ident()

    def is_idle(self) -> bool:
        """Whether no request is being answered, and every answer is on its way."""
        channels = list(self.active_channels.values())
        return not any(channel.requests or channel.total_outbufs_len for channel in channels)

    def stop(self, timeout: float) -> bool:
        """Stop to listen, see answers on their way, close what is open.

        Args:
            timeout: seconds to wait for the answers.

        Returns:
            Whether all of them were sent.
        """
        end = time.monotonic() + timeout
        while not (is_idle := self.is_idle()) and time.monotonic() < end:
            time.sleep(0.01)
        self._is_ending.set()
        self.pull_trigger()
        if self._thread is not None:
            self._thread.join(5.0)
        self.task_dispatcher.shutdown(timeout=1)
        with self._trigger_lock:  # not by the loop, and not while it is pulled
            self._is_closed = True
        wasyncore.close_all(self.map, ignore_all=True)
        self.map.close()
        return is_idle
