"""Clients that others wrote work unchanged: OpenAI's own, KServe's protocol by Triton's, curl."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.serving.process import Running, running
from tests.support import REPOSITORY

KEY = "a-key-for-the-clients"
ADMIN_KEY = "an-admin-key-for-them"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("tests.serving.wire_process", f"api_keys={KEY}", f"admin_keys={ADMIN_KEY}") as found:
        yield found


@pytest.fixture(scope="module")
def openai_client(server: Running) -> Iterator[Any]:
    openai = pytest.importorskip("openai", reason="openai is not installed: pip install openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("given", ["fine", ["fine", "good day"], [1, 7, 2], [[1, 7, 2], [1, 2]]], ids=str)
def test_openais_client_gets_vectors(openai_client: Any, given: Any) -> None:
    raw = openai_client.embeddings.with_raw_response.create(input=given, model="vectors")
    assert all(isinstance(one["embedding"], str) for one in json.loads(raw.text)["data"]), "it asks for base64"
    usual = raw.parse()
    floats = openai_client.embeddings.create(input=given, model="vectors", encoding_format="float")
    assert [one.embedding for one in usual.data] == [one.embedding for one in floats.data]
    assert all(len(one.embedding) == 4 for one in usual.data)
    assert usual.usage.total_tokens == 3 * len(usual.data)


def test_openais_client_gets_shorter_vectors_and_models(openai_client: Any) -> None:
    short = openai_client.embeddings.create(input="fine", model="vectors", dimensions=2, user="someone")
    assert len(short.data[0].embedding) == 2
    assert [model.id for model in openai_client.models.list()] == ["answers", "vectors"]
    assert openai_client.models.retrieve("vectors").owned_by == "bert-ms"


def test_openais_client_raises_its_own_errors(openai_client: Any, server: Running) -> None:
    import openai

    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.embeddings.create(input="fine", model="nobody")
    assert missing.value.code == "unknown_model"
    with pytest.raises(openai.UnprocessableEntityError) as long:
        openai_client.embeddings.create(input=["fine", "too long"], model="vectors")
    assert (long.value.code, long.value.param) == ("too_long", "input")
    stranger = openai_client.with_options(api_key="a-key-that-is-not-known")
    with pytest.raises(openai.AuthenticationError):
        stranger.models.list()


@pytest.fixture(scope="module")
def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")


def bearer() -> dict[str, str]:
    """Headers of one call: the client writes its own into them."""
    return {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def triton_client(server: Running, triton: Any) -> Iterator[Any]:
    client = triton.InferenceServerClient(urlsplit(server.url).netloc)
    yield client
    client.close()


def test_tritons_client_asks_for_health_and_metadata(triton_client: Any) -> None:
    assert triton_client.is_server_live() and triton_client.is_server_ready()
    assert triton_client.is_model_ready("vectors", headers=bearer())
    assert triton_client.get_server_metadata(headers=bearer())["name"] == "bert-ms"
    metadata = triton_client.get_model_metadata("vectors", headers=bearer())
    assert triton_client.is_model_ready("vectors", metadata["versions"][0], headers=bearer())
    assert "embedding" in [one["name"] for one in metadata["outputs"]]


@pytest.mark.parametrize("is_binary", [True, False], ids=["bytes", "json"])
def test_tritons_client_sends_texts(triton: Any, triton_client: Any, is_binary: bool) -> None:
    text = triton.InferInput("text", [2], "BYTES")
    text.set_data_from_numpy(np.array(["fine", "日本"], object), binary_data=is_binary)
    output = triton.InferRequestedOutput("embedding", binary_data=is_binary)
    found = triton_client.infer("vectors", [text], outputs=[output], request_id="7", headers=bearer())
    assert found.get_response()["id"] == "7"
    np.testing.assert_allclose(found.as_numpy("embedding"), np.full((2, 4), 0.5), rtol=1e-6)
    asked = triton_client.infer("vectors", [text], headers=bearer())  # without outputs it wants bytes
    np.testing.assert_allclose(asked.as_numpy("embedding"), np.full((2, 4), 0.5), rtol=1e-6)


@pytest.mark.parametrize("is_binary", [True, False], ids=["bytes", "json"])
@pytest.mark.parametrize("kind", ["INT32", "INT64"])
def test_tritons_client_sends_ids(triton: Any, triton_client: Any, is_binary: bool, kind: str) -> None:
    ids = np.array([[1, 7, 2], [1, 9, 2]], kind.lower())
    given = triton.InferInput("input_ids", ids.shape, kind)
    given.set_data_from_numpy(ids, binary_data=is_binary)
    found = triton_client.infer("answers", [given], headers=bearer()).as_numpy("logits")
    np.testing.assert_array_equal(found, ids.astype(np.float32))


def test_tritons_client_gets_texts(triton: Any, triton_client: Any) -> None:
    tensors = []
    for name, text in (("question", "who"), ("context", "Ada wrote it")):
        tensors.append(triton.InferInput(name, [1], "BYTES"))
        tensors[-1].set_data_from_numpy(np.array([text], object))
    found = triton_client.infer("answers", tensors, headers=bearer())
    assert found.as_numpy("answer").tolist() == [b"Ada"]
    assert found.as_numpy("end").tolist() == [3]


def test_tritons_client_raises_its_own_error(triton: Any, triton_client: Any) -> None:
    from tritonclient.utils import InferenceServerException

    text = triton.InferInput("text", [1], "BYTES")
    text.set_data_from_numpy(np.array(["too long"], object))
    with pytest.raises(InferenceServerException, match="too_long") as caught:
        triton_client.infer("vectors", [text], headers=bearer())
    assert caught.value.status() == "422"


def test_tritons_client_lists_loads_and_unloads_models(server: Running, triton: Any) -> None:
    client = triton.InferenceServerClient(urlsplit(server.admin_url).netloc)
    bearer = {"Authorization": f"Bearer {ADMIN_KEY}"}
    try:
        assert [row["state"] for row in client.get_model_repository_index(headers=bearer)] == ["READY", "READY"]
        client.load_model("third", headers=bearer)
        assert len(client.get_model_repository_index(headers=bearer)) == 3
        client.unload_model("third", headers=bearer)
    finally:
        client.close()


def examples() -> list[str]:
    """The curl commands of the guide."""
    text = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    joined = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in joined if line.startswith("curl ")]


@pytest.mark.parametrize("number", range(len(examples())))
def test_curl_does_what_the_guide_shows(server: Running, number: int, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = examples()[number].replace("http://localhost:8080", server.url)
    command = command.replace("http://localhost:8081", server.admin_url)
    keys = {"KEY": KEY, "ADMIN_KEY": ADMIN_KEY, "PATH": "/usr/bin:/bin:/usr/local/bin"}
    shown = f"{command} --write-out '\\n%{{http_code}}'"
    done = subprocess.run(["bash", "-c", shown], env=keys, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    body, _, code = done.stdout.rpartition("\n")
    assert code == "200", body
    if "/metrics" not in command:
        json.loads(body)


def test_the_log_begins_with_the_settings_and_holds_no_secret(server: Running) -> None:
    assert server.lines[0]["message"] == "settings"
    assert server.lines[0]["settings"]["api_keys"] == "<1 hidden>"
    log = json.dumps(server.lines)
    assert KEY not in log and ADMIN_KEY not in log and "sha256:" not in log
