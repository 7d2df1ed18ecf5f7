"""Keys guard every route that asks a model or tells of one; nothing is told of the key itself."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.serving.http.conftest import ADMIN_KEY, KEY
from tests.serving.http.test_bad_requests import GOOD

GUARDED = [*GOOD, "/info", "/v1/models", "/v1/models/vectors", "/v2", "/v2/models/vectors", "/v2/models/vectors/ready"]
OPEN = ["/", "/docs", "/livez", "/readyz", "/health", "/openapi.json", "/v2/health/live", "/v2/health/ready"]


@pytest.fixture
def guarded(make_client: Any) -> FlaskClient:
    return make_client(api_keys=[KEY, KEY + "2"], admin_keys=[ADMIN_KEY])


def ask(client: FlaskClient, path: str, **headers: str) -> Any:
    if path in GOOD:
        return client.post(path, json=GOOD[path], headers=headers)
    return client.get(path, headers=headers)


@pytest.mark.parametrize("path", GUARDED)
def test_a_route_is_guarded(guarded: FlaskClient, path: str) -> None:
    response = ask(guarded, path)
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="bert-ms"')
    assert ask(guarded, path, Authorization=f"Bearer {KEY}").status_code == 200
    assert ask(guarded, path, Authorization=f"bearer  {KEY}2").status_code == 200
    assert ask(guarded, path, **{"X-Api-Key": KEY}).status_code == 200


def test_every_route_is_in_one_of_the_lists(guarded: FlaskClient) -> None:
    paths = guarded.get("/openapi.json").json["paths"]
    told = {path for path, one in paths.items() if any("security" in method for method in one.values())}
    named = {path.replace("vectors", "{name}") for path in GUARDED if path != "/v2/models/vectors/ready"}
    assert {path for path in told if "{version}" not in path} == named | {"/v2/models/{name}/ready"}
    assert set(paths) - told == set(OPEN)


def test_no_operation_but_the_open_ones_is_reached_without_a_key(guarded: FlaskClient) -> None:
    tries: list[tuple[dict[str, str], int]] = [
        ({}, 401), ({"Authorization": f"Bearer {KEY}x"}, 401), ({"X-Api-Key": ADMIN_KEY}, 403),
    ]  # fmt: skip
    version, asked = f"{sum(map(ord, 'vectors')):012x}", 0
    for rule in guarded.application.url_map.iter_rules():
        if rule.rule in OPEN or rule.rule.startswith("/static/"):
            continue
        path = rule.rule.replace("<name>", "vectors").replace("<version>", version)
        for method in rule.methods - {"OPTIONS", "HEAD"}:
            for given, status in tries:
                assert guarded.open(path, method=method, json={}, headers=given).status_code == status, path
            asked += 1
    assert asked == 20


def test_a_key_is_compared_with_each_hash_in_constant_time(
    guarded: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b))
    for key, status in ((KEY, 200), (KEY + "2", 200), ("x" * 24, 401)):
        compared.clear()
        assert ask(guarded, "/info", Authorization=f"Bearer {key}").status_code == status
        assert len(compared) >= 2 and all(len(a) == len(b) == len("sha256:") + 64 for a, b in compared)
        assert KEY not in str(compared)


@pytest.mark.parametrize("path", OPEN)
def test_a_route_is_open(guarded: FlaskClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


STRANGERS = ["", "Bearer", "Bearer ", "Basic YTpi", KEY, f"Bearer {KEY[:-1]}", f"Bearer {KEY}x", "Bearer " + "x" * 9000,
             f"Bearer {KEY} {KEY}", "Bearer ümlaut-ümlaut-ümlaut"]  # fmt: skip


@pytest.mark.parametrize("header", STRANGERS, ids=range(len(STRANGERS)))
def test_what_is_no_known_key_is_a_401(guarded: FlaskClient, header: str) -> None:
    response = ask(guarded, "/info", Authorization=header.encode().decode("latin-1"))
    assert response.status_code == 401
    assert KEY not in response.text


def test_the_hash_of_a_key_is_no_key(guarded: FlaskClient) -> None:
    from serving.settings import hashed

    assert ask(guarded, "/info", Authorization=f"Bearer {hashed(KEY)}").status_code == 401


def test_a_key_of_one_port_is_not_let_in_at_the_other(guarded: FlaskClient, make_admin: Any) -> None:
    response = ask(guarded, "/info", Authorization=f"Bearer {ADMIN_KEY}")
    assert (response.status_code, response.json["code"]) == (403, "forbidden")
    admin = make_admin(api_keys=[KEY], admin_keys=[ADMIN_KEY])
    assert ask(admin, "/metrics", Authorization=f"Bearer {KEY}").status_code == 403
    assert ask(admin, "/metrics", Authorization=f"Bearer {ADMIN_KEY}").status_code == 200


def test_a_key_is_asked_for_before_the_body_is_looked_at(guarded: FlaskClient) -> None:
    assert guarded.post("/api/v1/qa", data=b"{", headers={"Content-Type": "text/plain"}).status_code == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v2", "/info"])
def test_each_wire_says_it_in_its_form(guarded: FlaskClient, path: str) -> None:
    body = guarded.get(path).json
    if path == "/v1/models":
        assert (body["error"]["type"], body["error"]["code"]) == ("authentication_error", "missing_key")
    elif path == "/v2":
        assert body["error"].startswith("missing_key: ")
    else:
        assert body["code"] == "missing_key"
