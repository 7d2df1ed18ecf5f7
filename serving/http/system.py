"""What is said of the server itself: whether it lives, whether it is ready, what it serves, how it is spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from pydantic import Field

from bert_ms import __version__

from .metrics import stats_of
from .openapi import describe
from .schemas import Given
from .wire import Wire, as_json


class Alive(Given):
    """The process answers."""

    status: str


class Ready(Given):
    """Whether every model answers."""

    status: str
    models: dict[str, str]


class ModelRow(Given):
    """A model of the server."""

    name: str
    version: str | None
    state: str
    reason: str | None
    task: str | None
    dtype: str | None = Field(description="numbers that it computes in: float32, int8, ...")
    kinds: list[str]
    loaded_at: float | None
    stats: dict[str, Any]


class Info(Given):
    """The server, its limits and its models."""

    name: str
    version: str
    limits: dict[str, float]
    models: list[ModelRow]


_LIMITS = ("max_body_bytes", "max_items", "max_inflight", "max_queue_items", "max_queue_tokens", "request_timeout")


def register(wire: Wire, *, with_info: bool = True) -> None:
    """Add the routes; without `with_info` the two that tell nothing but a state."""

    def livez() -> Response:
        is_live = wire.repository.is_live
        return as_json({"status": "alive" if is_live else "dead"}, 200 if is_live else 503)

    def readyz() -> Response:
        is_ready = wire.repository.is_ready
        states = {row["name"]: row["state"] for row in wire.repository.index()}
        return as_json({"status": "ready" if is_ready else "not ready", "models": states}, 200 if is_ready else 503)

    def info() -> dict[str, Any]:
        rows = [_row(wire, row) for row in wire.repository.index()]
        limits = {name: getattr(wire.settings, name) for name in _LIMITS}
        return {"name": "bert-ms", "version": __version__, "limits": limits, "models": rows}

    shared = {"method": "GET", "tag": "server"}
    open_ = {**shared, "is_guarded": False, "statuses": (200, 503)}
    wire.add(path="/livez", name="livez", summary="Whether the process answers", view=livez, gives=Alive, **open_)
    wire.add(path="/readyz", name="readyz", summary="Whether every model answers", view=readyz, gives=Ready, **open_)
    if with_info:
        wire.add(path="/health", name="health", summary="The same as /readyz", view=readyz, gives=Ready, **open_)
        wire.add(path="/info", name="info", summary="Say what is served", view=info, gives=Info, **shared)


def register_description(wire: Wire, pages: Mapping[str, str]) -> None:
    """Add `/openapi.json`; after all the other routes, which it describes.

    Args:
        wire: with these routes.
        pages: those for people, with a line on each.
    """
    made: list[dict[str, Any]] = []

    def openapi() -> dict[str, Any]:
        return made[0]

    wire.add(method="GET", path="/openapi.json", name="openapi", summary="Describe the wire (OpenAPI 3.1)",
             tag="server", view=openapi, gives={"type": "object"}, is_guarded=False)  # fmt: skip
    made.append(describe(wire.operations, wire.settings, has_keys=bool(wire.keys), pages=pages))


def _row(wire: Wire, row: dict[str, Any]) -> dict[str, Any]:
    found = {name: row.get(name) for name in ModelRow.model_fields}
    return {**found, "kinds": list(row.get("kinds") or ()), "stats": stats_of(wire.repository, row["name"])}
