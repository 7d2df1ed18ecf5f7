"""The table of operations: each route with what it takes and gives, and the way that every request goes through it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask, Response, request
from pydantic import BaseModel

from ..faults import QueueFull, UnknownModel, WrongTask
from ..service import Reply, Repository, ServedModel
from ..settings import ServerSettings
from .auth import Keys
from .bodies import parse, validated
from .exchange import current
from .problems import Refusal

JSON = "application/json"
LOADING_SECONDS = "5"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path.

    Attributes:
        method: GET or POST.
        path: as Flask writes it.
        name: operationId.
        summary: one line.
        tag: group in the description.
        view: called with the body as `takes` has it (where it takes one), and the path's parts by name; gives what
            `gives` describes, or a whole `Response`.
        takes: schema of the body; None where none is read.
        gives: schema of the answer: a model or a JSON schema.
        media: content type of the answer.
        statuses: those with the schema of `gives`; the first is the usual one.
        is_guarded: whether keys guard it.
        is_counted: whether it takes one of the places of requests in flight.
        raw: reads the body itself, from bytes and headers, in place of JSON by `takes`.
        is_body_optional: whether there may be none.
        may_fail: further statuses of refusals.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    view: Callable[..., Any]
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | Mapping[str, Any]
    media: str = JSON
    statuses: Sequence[int] = (200,)
    is_guarded: bool = True
    is_counted: bool = False
    raw: Callable[[bytes, Mapping[str, str]], Any] | None = None
    is_body_optional: bool = False
    may_fail: Sequence[int] = ()

    def refusals(self, has_keys: bool) -> list[int]:
        """Every status that it may be refused with."""
        found = {400, 405, 406, 408, 413, 431, 500, 501, *self.may_fail}
        if self.takes is not None:
            found |= {411, 415, 422}
        if self.is_counted:
            found |= {404, 429, 503, 504}
        if self.is_guarded and has_keys:
            found |= {401, 403}
        return sorted(found)


class Gate:
    """Counts requests in flight, and refuses those that are too many.

    Args:
        limit: places.
    """

    def __init__(self, limit: int):
        self.limit, self.count = limit, 0
        self._changed = threading.Condition()

    def enter(self) -> None:
        """Take a place.

        Raises:
            QueueFull: there is none.
        """
        with self._changed:
            if self.count >= self.limit:
                detail = f"{self.limit} requests are being answered already: come again."
                raise QueueFull(detail, code="too_many_requests", retry_after=1.0)
            self.count += 1

    def leave(self) -> None:
        """Give it back."""
        with self._changed:
            self.count -= 1
            self._changed.notify_all()

    def wait_empty(self, timeout: float) -> bool:
        """Whether all places are free within seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self.count == 0, timeout)


class Wire:
    """Routes of one port.

    Args:
        app: that they are added to.
        settings: of the server.
        repository: of the models.
        keys: that guard them.
        gate: of the requests in flight.
        may_fail: statuses that each of them may be refused with.
    """

    def __init__(
        self,
        *,
        app: Flask,
        settings: ServerSettings,
        repository: Repository,
        keys: Keys,
        gate: Gate,
        may_fail: Sequence[int] = (),
    ):
        self.may_fail = tuple(may_fail)
        self.app, self.settings, self.repository, self.keys, self.gate = app, settings, repository, keys, gate
        self.operations: list[Operation] = []

    def add(self, **fields: Any) -> None:
        """Add an operation; see its attributes."""
        operation = Operation(**{**fields, "may_fail": (*fields.get("may_fail", ()), *self.may_fail)})
        self.operations.append(operation)

        def view(**parts: str) -> Response:
            return self._answer(operation, parts)

        self.app.add_url_rule(
            operation.path, f"{operation.name}", view, methods=[operation.method], strict_slashes=True
        )

    def ask(
        self, kind: str, name: str | None, inputs: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[ServedModel, Reply]:
        """Have a model answer.

        Raises:
            ServiceFault: see `ServedModel.answer` and `Repository.for_kind`.
        """
        exchange = current()
        exchange.kind, exchange.items = kind, len(inputs)
        model = self._model(kind, name)
        exchange.model = model.name
        given = {key: value for key, value in options.items() if value is not None}
        reply = model.answer(kind, inputs, given, exchange.call)
        exchange.tokens = sum(int(one["tokens"]) for one in reply.usage)
        return model, reply

    def _model(self, kind: str, name: str | None) -> ServedModel:
        try:
            return self.repository.for_kind(kind, name)
        except (UnknownModel, WrongTask) as fault:
            if name is not None:
                fault.field = "model"
            raise

    def enter(self) -> None:
        """Take a place of those in flight, until the request is over.

        Raises:
            QueueFull: there is none.
        """
        self.gate.enter()
        current().undo.append(self.gate.leave)

    def body(self, operation: Operation, content: bytes) -> Any:
        """The body of a request as its schema has it.

        Raises:
            Refusal: it is no such body.
        """
        assert operation.takes is not None
        return validated(operation.takes, parse(content), max_items=self.settings.max_items)

    def _answer(self, operation: Operation, parts: Mapping[str, str]) -> Response:
        exchange = current()
        exchange.operation = operation.name
        if operation.is_guarded:
            self.keys.check(request.headers)
        _check_accept(operation.media)
        given: dict[str, Any] = dict(parts)
        if operation.is_counted:
            self.enter()
        if operation.takes is not None:
            given["body"] = self._read(operation)
        result = operation.view(**given)
        return result if isinstance(result, Response) else as_json(result)

    def _read(self, operation: Operation) -> Any:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Refusal(415, "unsupported_encoding", "compressed bodies are not read: send it as it is.")
        length = request.content_length
        if length is None and operation.is_body_optional:
            length = 0
        if length is None:
            raise Refusal(411, "length_required", "the length of the body is not declared: send Content-Length.")
        if length > self.settings.max_body_bytes:
            raise too_large(self.settings.max_body_bytes)
        body = request.get_data(cache=False)
        if operation.raw is not None:
            return operation.raw(body, dict(request.headers))
        _check_content_type()
        return self.body(operation, body)


def as_json(value: Any, status: int = 200) -> Response:
    """An answer in JSON; arrays of numpy may be in it. What is not ready says when to ask again."""
    headers = {"Retry-After": LOADING_SECONDS} if status == 503 else None
    return Response(dumped(value), status, headers, content_type=JSON)


def dumped(value: Any) -> bytes:
    """JSON; arrays of numpy may be in it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def too_large(limit: int) -> Refusal:
    """The refusal of a body beyond the limit."""
    return Refusal(413, "body_too_large", f"the body is larger than {limit:,} bytes: send fewer inputs at once.")


def _check_content_type() -> None:
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != JSON or charset not in ("utf-8", "utf8"):
        detail = f"expected a body of Content-Type: {JSON}, in UTF-8."
        raise Refusal(415, "unsupported_media_type", detail, headers={"Accept-Post": JSON})


def _check_accept(media: str) -> None:
    accepted = request.accept_mimetypes
    if request.headers.get("Accept") and not accepted.quality(media):
        raise Refusal(406, "not_acceptable", f"there is only {media} to give: accept it, or leave Accept out.")
