"""The two Flask applications of a server: the data port's and the admin port's."""

from __future__ import annotations

import logging

from flask import Flask

from ..service import Repository
from ..settings import ServerSettings
from . import admin, aliases, cycle, native, oip, openai, pages, system
from .auth import Keys
from .lane import App, Lane
from .metrics import Metrics
from .tracing import Tracer
from .wire import Gate, Wire

PAGES = {"/": "Try the models", "/docs": "Read how the server is spoken to"}


def create_app(
    settings: ServerSettings,
    repository: Repository,
    *,
    metrics: Metrics | None = None,
    gate: Gate | None = None,
    tracer: Tracer | None = None,
) -> App:
    """The application of the data port.

    Args:
        settings: limits and keys.
        repository: the models.
        metrics: that count; shared with the admin port, which shows them.
        gate: of requests in flight; shared with what waits for the last one at the end.
        tracer: of requests, if they are traced.
    """
    app = _flask("bert_ms_data", settings)
    keys = Keys(settings.api_keys, settings.admin_keys)
    wire = Wire(
        app=app, settings=settings, repository=repository, keys=keys, gate=gate or Gate(settings.max_inflight)
    )
    metrics = metrics or Metrics(repository)
    metrics.inflight.set_function(lambda: wire.gate.count)
    around = cycle.Cycle(settings, metrics, tracer)
    cycle.install(app, around)
    for part in (native, openai, oip, aliases, system):
        part.register(wire)
    app.lane = Lane(wire, around)
    app.register_blueprint(pages.blueprint())
    system.register_description(wire, PAGES)
    return app


def create_admin_app(settings: ServerSettings, repository: Repository, *, metrics: Metrics) -> Flask:
    """The application of the admin port.

    Args:
        settings: keys.
        repository: the models.
        metrics: that it shows.
    """
    app = _flask("bert_ms_admin", settings)
    keys = Keys(settings.admin_keys, settings.api_keys)
    gate = Gate(settings.max_inflight)
    wire = Wire(app=app, settings=settings, repository=repository, keys=keys, gate=gate, may_fail=(403,))
    cycle.install(app, cycle.Cycle(settings, metrics, None), guard=lambda: admin.guard(settings))
    system.register(wire, with_info=False)
    admin.register(wire, metrics)
    system.register_description(wire, {})
    return app


def _flask(name: str, settings: ServerSettings) -> App:
    app = App(name, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=settings.max_body_bytes, DEBUG=False, PROPAGATE_EXCEPTIONS=False)
    app.url_map.merge_slashes = False
    app.logger = logging.getLogger("bert_ms.flask")  # type: ignore[misc]
    return app
