"""The description of the wire is valid, complete, and made from the server's own settings."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from serving.http.problems import MEANINGS
from tests.serving.checked import answer_of

COUNTED = {"400", "404", "405", "406", "408", "411", "413", "415", "422", "429", "431", "500", "501", "503", "504"}


def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()]


@pytest.fixture(params=["data", "admin"])
def port(request: pytest.FixtureRequest, make_client: Any, make_admin: Any) -> FlaskClient:
    return make_client() if request.param == "data" else make_admin()


def test_it_is_openapi_3_1(port: FlaskClient) -> None:
    document = port.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_in_it_and_nothing_else(port: FlaskClient) -> None:
    app: Flask = port.application
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith("/static/")
    }
    found = operations(port.get("/openapi.json").json)
    assert {(path, method) for path, method, _ in found} == routes
    assert len(routes) > 5
    names = [one["operationId"] for _, _, one in found]
    assert len(set(names)) == len(names)


def test_every_operation_says_what_it_gives_and_every_status(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    found = operations(document)
    posts = [one for _, method, one in found if method == "post"]
    assert len(posts) == 12
    for one in posts:
        assert set(one["responses"]) == {"200", *COUNTED}
    for path, _, one in found:
        for status in one["responses"]:
            answer = answer_of(document, one, status)
            assert answer["content"] and answer["description"], (path, status)
            if int(status) >= 400 and int(status) in MEANINGS and answer["description"] == MEANINGS[int(status)]:
                media = "application/json" if path.startswith(("/v1", "/v2")) else "application/problem+json"
                assert list(answer["content"]) == [media]


def test_statuses_to_come_again_after_say_so(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    operation = document["paths"]["/api/v1/qa"]["post"]
    for status in ("429", "503"):
        assert "Retry-After" in answer_of(document, operation, status)["headers"]


def test_the_servers_own_limit_stands_in_it(make_client: Any) -> None:
    text = json.dumps(make_client(max_items=7).get("/openapi.json").json)
    assert '"maxItems": 7' in text and '"maxItems": 32' not in text
    assert "x-max-items" not in text and "x-hidden" not in text and "~one" not in text


def test_keys_stand_in_it_where_there_are_some(make_client: Any) -> None:
    without, having = make_client(), make_client(api_keys=["0123456789abcdef"])
    assert "securitySchemes" not in without.get("/openapi.json").json["components"]
    document = having.get("/openapi.json").json
    assert document["paths"]["/api/v1/qa"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert {"401", "403"} <= set(document["paths"]["/embed"]["post"]["responses"])
    assert "security" not in document["paths"]["/livez"]["get"]
