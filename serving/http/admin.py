"""The admin port: metrics, and models that are loaded and unloaded while the server runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from flask import Response, request
from pydantic import Field, RootModel

from ..settings import ServerSettings, is_loopback
from .bodies import parse, validated
from .exchange import current
from .metrics import Metrics
from .problems import Refusal
from .schemas import Given, Taken
from .wire import Wire

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class IndexRequest(Taken):
    """Which models are wanted."""

    ready: bool = Field(False, description="only those that answer")


class IndexRow(Given):
    """A model."""

    name: str
    version: str
    state: str
    reason: str


class IndexReply(RootModel[list[IndexRow]]):
    """Models by name."""


class LoadRequest(Taken):
    """Where the model is, if not where it was."""

    parameters: Annotated[dict[str, str], Field(max_length=1)] = Field(
        {}, description="`source`: a directory below the server's model_root"
    )


class UnloadRequest(Taken):
    """There is nothing to say."""

    parameters: Annotated[dict[str, bool], Field(max_length=1)] = Field({}, description="unload_dependents: not used")


class Done(Given):
    """It was done."""

    name: str
    state: str


def guard(settings: ServerSettings) -> None:
    """Stop what a web page, in a browser on this machine, could make it send.

    Raises:
        Refusal: 403 for a request from another origin, or, where no key guards the port, for another host's name.
    """
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        raise Refusal(403, "cross_origin", "pages of other origins do not use this port.")
    if not settings.admin_keys and not is_loopback(request.host.rsplit(":", 1)[0]):
        raise Refusal(403, "unknown_host", "without an admin key this port goes by the names of this machine only.")


def register(wire: Wire, metrics: Metrics) -> None:
    """Add the routes."""

    def show() -> Response:
        return Response(metrics.text(), content_type=PROMETHEUS)

    def index(body: IndexRequest) -> list[dict[str, Any]]:
        rows = [
            {
                "name": row["name"],
                "version": str(row.get("version") or ""),
                "state": "READY" if row["state"] == "ready" else "UNAVAILABLE",
                "reason": str(row.get("reason") or ("" if row["state"] == "ready" else row["state"])),
            }
            for row in wire.repository.index()
        ]
        return [row for row in rows if row["state"] == "READY" or not body.ready]

    def load(body: LoadRequest, name: str) -> dict[str, Any]:
        _needs_key(wire)
        unknown = set(body.parameters) - {"source"}
        if unknown:
            raise Refusal(422, "invalid_request", "/parameters knows only source.")
        current().model = name if name in wire.repository.names() else ""
        wire.repository.load(name, body.parameters.get("source"))
        return {"name": name, "state": wire.repository.get(name).state}

    def unload(body: UnloadRequest, name: str) -> dict[str, Any]:
        _needs_key(wire)
        wire.repository.unload(name)
        return {"name": name, "state": "unloaded"}

    shared: dict[str, Any] = {"method": "POST", "tag": "admin", "is_body_optional": True}
    wire.add(method="GET", path="/metrics", name="metrics", summary="Numbers for Prometheus", tag="admin", view=show,
             gives={"type": "string"}, media="text/plain")  # fmt: skip
    wire.add(path="/v2/repository/index", name="index", summary="List the models", view=index, gives=IndexReply,
             takes=IndexRequest, raw=_reader(wire, IndexRequest), **shared)  # fmt: skip
    wire.add(path="/v2/repository/models/<name>/load", name="load", summary="Load a model, or load it anew", view=load,
             gives=Done, takes=LoadRequest, raw=_reader(wire, LoadRequest), may_fail=(403, 404), **shared)  # fmt: skip
    wire.add(path="/v2/repository/models/<name>/unload", name="unload", summary="Take a model out", view=unload,
             gives=Done, takes=UnloadRequest, raw=_reader(wire, UnloadRequest), may_fail=(403, 404),
             **shared)  # fmt: skip


def _needs_key(wire: Wire) -> None:
    if not wire.keys:
        detail = "models are loaded and unloaded only where an admin key is set (admin_keys, or admin_keys_file)."
        raise Refusal(403, "no_admin_key", detail)


def _reader(wire: Wire, kind: type[Taken]) -> Any:
    """Clients of this protocol send no content type, and often no body."""

    def read(body: bytes, headers: Mapping[str, str]) -> Any:
        return validated(kind, parse(body) if body.strip() else {}, max_items=wire.settings.max_items)

    return read
