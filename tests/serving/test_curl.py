"""Every endpoint stands in docs/curl.md, and every line there works as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from urllib.request import urlopen

import pytest

from serving.http.examples import EXAMPLES
from tests.serving.process import Running, running
from tests.support import REPOSITORY

pytest.importorskip("flask")
PAGE = REPOSITORY / "docs" / "curl.md"
KEY, ADMIN_KEY = "a-key-of-the-data-port", "a-key-of-the-admin-port"
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    command = ("tests.serving.wire_process", f"api_keys={KEY}", f"admin_keys={ADMIN_KEY}")
    with running(*command) as found:
        yield found


@pytest.fixture(scope="module")
def environment(server: Running) -> dict[str, str]:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on PATH")
    version = f"{sum(map(ord, 'vectors')):012x}"
    values = {"URL": server.url, "ADMIN": server.admin_url, "KEY": KEY, "ADMIN_KEY": ADMIN_KEY,
              "MODEL": "vectors", "VERSION": version}  # fmt: skip
    return {**os.environ, **values, "no_proxy": "*"}


def named(block: str) -> str:
    """The path of a block, for the test's name."""
    return "".join(re.findall(r'"\$(URL|ADMIN)(/[^"]*)"', block)[0])


def test_no_endpoint_is_missing(server: Running) -> None:
    text = "\n".join(BLOCKS).replace("$MODEL", "{name}").replace("$VERSION", "{version}")
    told = set(re.findall(r'"\$(URL|ADMIN)(/[^"]*)"', text))
    for name, url in (("URL", server.url), ("ADMIN", server.admin_url)):
        with urlopen(f"{url}/openapi.json") as answer:
            paths = json.load(answer)["paths"]
        assert len(paths) > 5
        assert set(paths) == {path for port, path in told if port == name}


def test_every_example_of_the_description_works(server: Running, environment: dict[str, str]) -> None:
    with urlopen(f"{server.url}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    used = set()
    for path, operation in ((path, methods["post"]) for path, methods in paths.items() if "post" in methods):
        example = operation["requestBody"]["content"]["application/json"]["example"]
        used.add(operation["operationId"])
        url = server.url + path.format(name="vectors", version=environment["VERSION"])
        command = ["curl", "-sS", "--fail-with-body", url, "-H", f"Authorization: Bearer {KEY}"]
        body = ["-H", "Content-Type: application/json", "-d", json.dumps(example)]
        done = subprocess.run([*command, *body], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (path, done.stdout)
    assert used == set(EXAMPLES)


# Last: the page ends with taking a model out.
@pytest.mark.parametrize("block", BLOCKS, ids=map(named, BLOCKS))
def test_a_block_of_the_page_works(block: str, environment: dict[str, str]) -> None:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    if "-D -" in block:
        assert "HTTP/1.1 422" in done.stdout and "X-Request-Id: mine-1" in done.stdout
        assert '"pointer":"/agregation"' in done.stdout
    elif "/metrics" in block:
        assert "bertms_requests_total" in done.stdout
    elif "/docs" in block:
        assert done.stdout.count("<!doctype html>") == 2
    else:
        assert json.loads(done.stdout)
