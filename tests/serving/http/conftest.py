"""Applications over models in memory, whose every answer is held to the description of the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from serving import create_app
from serving.http.app import create_admin_app
from serving.http.metrics import Metrics
from serving.settings import ServerSettings
from tests.serving.checked import checked_client
from tests.serving.fakes import FakeRepository, two_models

KEY = "a-key-of-the-data-port"
ADMIN_KEY = "a-key-of-the-admin-port"


@pytest.fixture
def repository() -> FakeRepository:
    return two_models()


@pytest.fixture
def make_client(repository: FakeRepository) -> Callable[..., FlaskClient]:
    """A client of the data port with settings other than the defaults."""

    def make(**settings: Any) -> FlaskClient:
        return checked_client(create_app(ServerSettings(**settings), repository))

    return make


@pytest.fixture
def make_admin(repository: FakeRepository) -> Callable[..., FlaskClient]:
    """A client of the admin port."""

    def make(**settings: Any) -> FlaskClient:
        app = create_admin_app(ServerSettings(**settings), repository, metrics=Metrics(repository))
        return checked_client(app)

    return make


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """Of a server with the default settings; nothing that a test does to it stays."""
    return checked_client(create_app(ServerSettings(), two_models()))
