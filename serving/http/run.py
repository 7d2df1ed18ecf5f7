"""The process that listens: two ports, signals, and an end that loses nothing."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

from bert_ms.errors import BertMsError

from ..resolving import exposed_key_files
from ..service import Repository
from ..settings import ModelSettings, ServerSettings
from . import logs
from .app import create_admin_app, create_app
from .metrics import Metrics
from .tracing import open_tracer
from .transport import SPARE_THREADS, Server
from .wire import Gate

logger = logging.getLogger("bert_ms.server")
ADMIN_THREADS = 8
SPARE_FILES = 256


class PortError(BertMsError, OSError):
    """A port that cannot be taken."""


def serve(settings: ServerSettings, repository: Repository | None = None) -> int:
    """Serve until SIGTERM or SIGINT; called by the main thread.

    Args:
        settings: of the server.
        repository: the models; None opens those of the settings, each in an engine process of its own.

    Returns:
        0 where every accepted request was answered before the end, else 1.

    Raises:
        PortError: a port is in use, or may not be taken.
        DependencyError: what the settings ask for is not installed.
    """
    logs.configure(settings)
    if logs.is_json(settings, sys.stderr):  # on a terminal the command has printed them
        logger.info("settings", extra={"values": {"settings": settings.shown()}})
    for sentence in exposed_key_files(settings):
        logger.warning(sentence)
    tracer = open_tracer(settings)
    files = _allow_files(2 * settings.max_connections + SPARE_FILES)
    if files < settings.max_connections:
        logger.warning("the system allows fewer files than max_connections", extra={"values": {"files": files}})
    data = _take(settings, "port", settings.host, settings.port, settings.max_inflight + SPARE_THREADS)
    admin = _take(settings, "admin_port", settings.admin_host, settings.admin_port, ADMIN_THREADS)
    stopping = _Stopping()
    models = repository if repository is not None else _open(settings)
    try:
        metrics, gate = Metrics(models), Gate(settings.max_inflight)
        for server in (data, admin):
            server.on_refused = metrics.count_refused
        admin.start(create_admin_app(settings, models, metrics=metrics))
        app = create_app(settings, models, metrics=metrics, gate=gate, tracer=tracer)
        # Of models from elsewhere it is not known whether they wait only where they may.
        data.start(app, is_short=app.is_short if repository is None else None)
        addresses = {"url": _url(data), "admin_url": _url(admin), "models": models.names()}
        logger.info("listening", extra={"values": addresses})
        stopping.wait()
        return 0 if _drain(settings, models, gate, data, admin) else 1
    finally:
        models.close()


def _drain(settings: ServerSettings, models: Repository, gate: Gate, data: Server, admin: Server) -> bool:
    """Refuse what is new; answer what was accepted; then close."""
    end = time.monotonic() + settings.drain_timeout
    logger.info("draining", extra={"values": {"inflight": gate.count, "seconds": settings.drain_timeout}})
    is_drained = models.drain(settings.drain_timeout)
    is_drained &= gate.wait_empty(max(0.0, end - time.monotonic()))
    is_drained &= data.stop(max(1.0, end - time.monotonic()))  # answers are on their way: give them a second
    admin.stop(0.0)
    logger.log(
        logging.INFO if is_drained else logging.WARNING,
        "stopped" if is_drained else "stopped before every request was answered",
        extra={"values": {"inflight": gate.count}},
    )
    return is_drained


class _Stopping:
    """SIGTERM or SIGINT asks for an orderly end; a second one ends at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._on_signal)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._asked.is_set():  # engines end with this process, whatever they are doing
            sys.stderr.write("bert-ms: ended at once by a second signal\n")
            sys.stderr.flush()
            os._exit(128 + number)
        self._asked.set()

    def wait(self) -> None:
        self._asked.wait()


def _take(settings: ServerSettings, name: str, host: str, port: int, threads: int) -> Server:
    try:
        return Server(host=host, port=port, settings=settings, threads=threads)
    except (OSError, ValueError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "another program has it"
        elif isinstance(error, OSError) and error.errno == errno.EACCES:
            reason = "the system reserves it: those from 1024 on are free to take"
        flag = name.replace("_", "-")
        raise PortError(f"port {port} of {host} cannot be taken: {reason}. Choose another by --{flag}.") from None


def _url(server: Server) -> str:
    host = server.effective_host
    return f"http://{f'[{host}]' if ':' in host else host}:{server.effective_port}"


def _open(settings: ServerSettings) -> Repository:
    from ..repository import open_repository

    return open_repository(
        settings.specs(),
        root=settings.model_root,
        make_spec=lambda name, source: settings.spec(name, ModelSettings(source=source)),
    )


def _allow_files(wanted: int) -> int:
    """Raise this process's limit of open files as far as it may; each connection is one."""
    try:
        import resource
    except ImportError:  # not on Windows
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        soft = wanted if hard == unlimited else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == unlimited else soft
