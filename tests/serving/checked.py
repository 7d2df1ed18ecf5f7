"""A Flask test client that holds every answer to the server's own description of itself."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse


class CheckedClient(FlaskClient):
    """Checks status, content type, headers and body of each answer against `/openapi.json`."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **{"buffered": True, **kwargs})
        check(self.application, response)
        return response


def checked_client(app: Flask) -> FlaskClient:
    """Of an application whose description is read once."""
    app.test_client_class = CheckedClient
    app.extensions["description"] = json.loads(FlaskClient(app, app.response_class).get("/openapi.json").data)
    return app.test_client()


def check(app: Flask, response: TestResponse) -> None:
    """Fail where an answer is not one that the description allows."""
    method, path = response.request.method, response.request.path
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", response.headers["X-Request-Id"])
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
    if response.status_code in (429, 503):
        assert int(response.headers["Retry-After"]) >= 1
    if method in ("HEAD", "OPTIONS") or path.startswith("/static/"):
        return
    document = app.extensions["description"]
    described = _operation(app, document, method, path)
    if described is None:  # no such path, or it has not this method
        assert response.status_code in (404, 405, 403), (method, path, response.status_code)
        return
    status = str(response.status_code)
    assert status in described["responses"], f"{method} {path} is not said to answer {status}"
    content = answer_of(document, described, status)["content"]
    assert response.mimetype in content, (response.mimetype, list(content))
    if response.mimetype.endswith("json"):
        schema = content[response.mimetype]["schema"]
        made = app.extensions.setdefault("validators", {})
        if str(schema) not in made:
            made[str(schema)] = Draft202012Validator({**schema, "components": document["components"]})
        made[str(schema)].validate(json.loads(response.data))


def answer_of(document: Any, operation: Any, status: str) -> Any:
    """What an operation is said to answer with a status."""
    found = operation["responses"][status]
    return document["components"]["responses"][found["$ref"].split("/")[-1]] if "$ref" in found else found


def _operation(app: Flask, document: Any, method: str, path: str) -> Any:
    adapter = app.url_map.bind("localhost")
    try:
        rule, _ = adapter.match(path, method, return_rule=True)
    except HTTPException:
        return None
    return document["paths"][re.sub(r"<(\w+)>", r"{\1}", rule.rule)][method.lower()]
