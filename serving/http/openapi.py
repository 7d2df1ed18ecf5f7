"""OpenAPI 3.1 of the operations, from the schemas that also check the requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from bert_ms import __version__

from ..settings import ServerSettings
from .examples import EXAMPLES
from .problems import MEANINGS, Dialect, dialect_of, title
from .schemas import MAX_ITEMS_MARK, Given
from .wire import Operation

REF = "#/components/schemas/{model}"
TAGS = {
    "native": "Every kind of request",
    "openai": "OpenAI's clients",
    "oip": "Open Inference Protocol (KServe v2)",
    "aliases": "Clients of text-embeddings-inference",
    "server": "The server itself",
    "admin": "The admin port",
    "pages": "For people",
}


class ProblemPlace(Given):
    """A place of the body."""

    pointer: str
    detail: str


class Problem(Given):
    """A refusal (RFC 9457); `code` is stable."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[ProblemPlace] | None = None


class OpenAIErrorBody(Given):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(Given):
    """A refusal as OpenAI's clients read it."""

    error: OpenAIErrorBody


class OipError(Given):
    """A refusal of the Open Inference Protocol."""

    error: str


_REFUSALS: dict[Dialect, type[Given]] = {"native": Problem, "openai": OpenAIError, "oip": OipError}
_TEXT_HEADER = {"schema": {"type": "string"}}
_ID = {"X-Request-Id": {**_TEXT_HEADER, "description": "the request's own, or the one it was given"}}
_RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
_TIMING = {"Server-Timing": {**_TEXT_HEADER, "description": "milliseconds of tok, queue, infer and post"}}


def describe(
    operations: Sequence[Operation], settings: ServerSettings, *, has_keys: bool, pages: Mapping[str, str]
) -> dict[str, Any]:
    """The document.

    Args:
        operations: all that there are.
        settings: whose limits stand in the schemas.
        has_keys: whether keys guard operations.
        pages: paths of the pages for people, with a line on each.
    """
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(model, "serialization"): None for model in
                                                                  _REFUSALS.values()}  # fmt: skip
    for operation in operations:
        if operation.takes is not None:
            models[operation.takes, "validation"] = None
        if isinstance(operation.gives, type):
            models[operation.gives, "serialization"] = None
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "bert-ms",
            "version": __version__,
            "summary": "Answers, labels, entities, gaps and vectors by BERT and NEZHA on MindSpore",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()
                 if any(operation.tag == name for operation in operations) or (pages and name == "pages")],
        "paths": {},
        "components": {
            "schemas": _with_limits(_schemas(tuple(models)), settings.max_items),
            "responses": {
                f"{dialect}_{status}": _refusal(dialect, status)
                for dialect, status in sorted({(dialect_of(operation.path), status) for operation in operations
                                               for status in operation.refusals(has_keys)})
            },
        },
    }  # fmt: skip
    if has_keys:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        }
    for page, summary in pages.items():
        content = {"text/html": {"schema": {"type": "string"}}}
        described = {"operationId": f"page_{page.strip('/') or 'demo'}", "summary": summary, "tags": ["pages"],
                     "responses": {"200": {"description": "OK", "content": content}}}  # fmt: skip
        document["paths"][page] = {"get": described}
    for operation in operations:
        path = re.sub(r"<(\w+)>", r"{\1}", operation.path)
        described = _operation(operation, has_keys)
        document["paths"].setdefault(path, {})[operation.method.lower()] = described
    return document


@cache
def _schemas(models: tuple[tuple[type[BaseModel], JsonSchemaMode], ...]) -> dict[str, Any]:
    found: dict[str, Any] = models_json_schema(models, ref_template=REF)[1].get("$defs", {})
    return found


def _operation(operation: Operation, has_keys: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {},
    }
    parts = re.findall(r"<(\w+)>", operation.path)
    if parts:
        found["parameters"] = [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}} for part in parts
        ]
    if operation.takes is not None:
        example = {"example": EXAMPLES[operation.name]} if operation.name in EXAMPLES else {}
        content = {"application/json": {"schema": _ref(operation.takes), **example}}
        found["requestBody"] = {"required": not operation.is_body_optional, "content": content}
    gives = _ref(operation.gives) if isinstance(operation.gives, type) else dict(operation.gives)
    for status in operation.statuses:
        headers = {**_ID, **(_TIMING if operation.is_counted else {}), **(_RETRY if status in (429, 503) else {})}
        content = {operation.media: {"schema": gives}}
        if operation.raw is not None and operation.is_counted:
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        found["responses"][str(status)] = {"description": title(status), "headers": headers, "content": content}
    dialect = dialect_of(operation.path)
    for status in operation.refusals(has_keys):
        found["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{dialect}_{status}"})
    if has_keys and operation.is_guarded:
        found["security"] = [{"bearer": []}, {"header": []}]
    return found


def _refusal(dialect: Dialect, status: int) -> dict[str, Any]:
    media = "application/problem+json" if dialect == "native" else "application/json"
    return {
        "description": MEANINGS[status],
        "headers": {**_ID, **(_RETRY if status in (429, 503) else {})},
        "content": {media: {"schema": _ref(_REFUSALS[dialect])}},
    }


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF.format(model=model.__name__)}


def _with_limits(schema: Any, max_items: int) -> Any:
    """Schemas with the server's own limit, and without what is not meant for the wire."""
    if isinstance(schema, list):
        return [_with_limits(one, max_items) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: _with_limits(value, max_items) for key, value in schema.items() if key != MAX_ITEMS_MARK}
    if schema.get(MAX_ITEMS_MARK) is True:
        found["maxItems"] = max_items
    if isinstance(found.get("properties"), dict):
        found["properties"] = {key: value for key, value in found["properties"].items()
                               if not (isinstance(value, dict) and value.get("x-hidden"))}  # fmt: skip
    return found
