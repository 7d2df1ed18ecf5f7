"""Refusals in the three forms that the wire speaks: RFC 9457, OpenAI's envelope, Open Inference Protocol's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

import orjson

from ..faults import ServiceFault

Dialect = Literal["native", "openai", "oip"]
URN = "urn:bert-ms:error:"
# What a status means here, for the description of the wire.
MEANINGS = {
    400: "The body is no JSON in UTF-8, has NaN, a key twice, a half of a surrogate pair, or is nested too deeply",
    401: "There is no API key, or one that is not known",
    403: "The key is known, but not for this",
    404: "There is no such path or model",
    405: "The path does not know this method",
    406: "What is accepted is not what there is to give",
    408: "The request arrived too slowly",
    411: "The length of the body is not declared",
    413: "The body is larger than the limit",
    415: "The body is not of the content type that is read here, or is compressed",
    422: "The body does not fit the schema, or the model cannot answer it; pointers name the place",
    429: "Too much is waiting: come again after Retry-After seconds",
    431: "The head of the request is larger than the limit",
    500: "The server failed; the request id finds the reason in its log",
    501: "The body's transfer encoding is not known",
    503: "The model is loading, restarting or going away: come again after Retry-After seconds",
    504: "The answer was not there in time",
}
# What no standard has: where the client is gone, for log and metrics alone.
_OTHER_TITLES = {499: "Client Closed Request"}
_AGAIN = (429, 503)  # always said with when to come again
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Place:
    """One thing that is wrong.

    Attributes:
        pointer: JSON pointer (RFC 6901) into the body; empty for all of it.
        detail: what was expected.
    """

    pointer: str
    detail: str


@dataclass
class Refusal(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        code: stable snake_case name.
        detail: what was given, what was expected, what to do; nothing of the input's text.
        places: in the body, if any is at fault.
        retry_after: seconds after which it may succeed.
        headers: further ones of the answer.
    """

    status: int
    code: str
    detail: str
    places: Sequence[Place] = ()
    retry_after: float | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_fault(cls, fault: ServiceFault, pointer: Callable[[int], str]) -> Refusal:
        """What a service raised; `pointer` says where the input of a number stands in the body."""
        places: tuple[Place, ...] = ()
        if fault.index is not None:
            places = (Place(pointer(fault.index), fault.detail),)
        elif fault.field:
            places = (Place(f"/{fault.field}", fault.detail),)
        return cls(fault.status, fault.code, fault.detail, places, fault.retry_after)

    def all_headers(self) -> dict[str, str]:
        """With Retry-After in whole seconds, at least one, where a later attempt may succeed."""
        found = dict(self.headers)
        after = 1.0 if self.retry_after is None and self.status in _AGAIN else self.retry_after
        if after is not None:
            found["Retry-After"] = str(max(1, math.ceil(after)))
        return found

    def content_type(self, dialect: Dialect) -> str:
        """Of the body in a dialect."""
        return "application/problem+json" if dialect == "native" else "application/json"

    def body(self, dialect: Dialect, request_id: str) -> bytes:
        """The body in a dialect."""
        return orjson.dumps(_BODIES[dialect](self, request_id))


def dialect_of(path: str) -> Dialect:
    """Which dialect a path speaks, known or not."""
    if path == "/v1" or path.startswith("/v1/"):
        return "openai"
    return "oip" if path == "/v2" or path.startswith("/v2/") else "native"


def internal_error() -> Refusal:
    """What is said of an error that nobody foresaw."""
    return Refusal(500, "internal_error", "the server failed on this request; its log has the reason under the id.")


def title(status: int) -> str:
    """`Not Found`."""
    return _OTHER_TITLES.get(status) or HTTPStatus(status).phrase


def _native(refusal: Refusal, request_id: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": URN + refusal.code,
        "title": title(refusal.status),
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "request_id": request_id,
    }
    if refusal.places:
        body["errors"] = [{"pointer": place.pointer, "detail": place.detail} for place in refusal.places]
    return body


def _openai(refusal: Refusal, request_id: str) -> dict[str, Any]:
    usual = "invalid_request_error" if refusal.status < 500 else "server_error"
    param = refusal.places[0].pointer.strip("/").split("/")[0] if refusal.places else ""
    error = {
        "message": f"{refusal.detail} (request id {request_id})",
        "type": _OPENAI_TYPES.get(refusal.status, usual),
        "param": param or None,
        "code": refusal.code,
    }
    return {"error": error}


def _oip(refusal: Refusal, request_id: str) -> dict[str, Any]:
    where = f"{refusal.places[0].pointer}: " if refusal.places and refusal.places[0].pointer else ""
    return {"error": f"{refusal.code}: {where}{refusal.detail} (request id {request_id})"}


_BODIES: dict[Dialect, Callable[[Refusal, str], dict[str, Any]]] = {
    "native": _native,
    "openai": _openai,
    "oip": _oip,
}
