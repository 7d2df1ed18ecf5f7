"""Served in int8: the same answers as a pipeline's in int8, from kept graphs too; and refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import bert_ms
from bert_ms import compat
from bert_ms.kernels import build as kernels_build
from serving.engine.process import EngineProcess, EngineRefused, StaleCache
from serving.scheduling.canary import Canary
from tests import tiny
from tests.serving import tiny_models
from tests.serving.process import running, wait_until

START = 240.0
ITEM = {"question": "who had an army?", "context": "The king of France had a great army in 1805."}
SHAPES = [(1, 16), (2, 32)]
JOB = {"task": None, "engine": "auto", "device": "cpu", "dtype": "int8", "threads": None, "allow_new_head": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of models: one that answers questions, and one whose positions are relative."""
    if kernels_build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    compat.use_device("cpu", graph_mode=True)
    root = tmp_path_factory.mktemp("int8")
    tiny_models.save(root / "qa", "qa")
    tiny.model(root / "nezha", relative_position="sinusoid")
    return root


class Engine:
    """An engine of a source, which is ended with the block."""

    def __init__(self, source: Path):
        self.process = EngineProcess({**JOB, "source": str(source)})

    def __enter__(self) -> EngineProcess:
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.close()


def outputs(engine: EngineProcess, cache: Path, shapes: list[tuple[int, int]] = SHAPES) -> Iterator[Any]:
    """What a started engine says of itself, and of a row in each shape."""
    hello = engine.open(timeout=START)
    yield hello
    engine.warm(shapes, timeout=START, on_progress=lambda done, of: None, compile_cache=str(cache))
    canary = Canary(hello.config.vocab_size, row_outputs=hello.row_outputs)
    for rows, length in shapes:
        engine.send(canary.arrays((rows, length)), rows=rows, timeout=START)
        yield engine.receive(timeout=START).outputs["start_logits"][:, :16]


def test_kept_graphs_are_filled_with_the_rounded_weights(folder: Path, tmp_path: Path) -> None:
    cache, starts = tmp_path / "cache", []
    for _ in range(2):
        with Engine(folder / "qa") as engine:
            starts.append(list(outputs(engine, cache)))
    (golden,) = cache.glob("*/golden.npz")
    assert list((golden.parent / "graphs").rglob("*.mindir"))
    assert [hello.precision for hello, *_ in starts] == ["int8", "int8"]
    for first, second in zip(starts[0][1:], starts[1][1:], strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(starts[0][1][0], starts[0][2][1])  # a row alone, and among others at another length
    with np.load(golden) as found:
        wrong = {name: found[name] + 1 for name in found.files}
    np.savez(golden, **wrong)
    with Engine(folder / "qa") as engine, pytest.raises(StaleCache, match="differs by 1"):  # they were taken again
        list(outputs(engine, cache))


def test_float32_and_int8_do_not_share_graphs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for dtype in ("int8", None):
        monkeypatch.setitem(JOB, "dtype", dtype)
        with Engine(folder / "qa") as engine:
            found.append(list(outputs(engine, tmp_path / "cache", SHAPES[:1]))[1])
    assert len(list((tmp_path / "cache").glob("*/golden.npz"))) == 2
    assert 0 < np.abs(found[0] - found[1]).max() < 0.1 * np.abs(found[1]).max()


def test_an_engine_refuses_what_is_not_computed_in_int8(folder: Path) -> None:
    with Engine(folder / "nezha") as engine, pytest.raises(EngineRefused, match="dtype is int8, .*'sinusoid'"):
        engine.open(timeout=START)


def test_a_server_answers_in_int8_and_says_so(folder: Path, tmp_path: Path) -> None:
    models = {"qa": {"source": str(folder / "qa"), "shapes": [[1, 64]]}, "nezha": str(folder / "nezha")}
    (tmp_path / "serve.yaml").write_text(yaml.safe_dump({"models": models, "threads": 1, "device": "cpu"}))
    command = ("serving", "-c", str(tmp_path / "serve.yaml"), "--dtype", "int8", "--port", "0", "--admin-port", "0")
    with running(*command) as server:

        def state(name: str) -> Any:
            return next(row for row in server.get("/info")[1]["models"] if row["name"] == name)

        wait_until(lambda: state("qa")["state"] == "ready" and state("nezha")["state"] == "failed", START)
        assert (state("qa")["dtype"], state("nezha")["dtype"]) == ("int8", "")
        assert "dtype is int8" in state("nezha")["reason"] and "Use float32" in state("nezha")["reason"]
        status, reply = server.post("/api/v1/qa", {"inputs": ITEM, "handle_impossible": False})
        assert status == 200, reply
        assert 'dtype="int8"' in str(server.get("/metrics", admin=True)[1])
    nlp = bert_ms.pipeline("question-answering", folder / "qa", device="cpu", dtype="int8", max_length=64)
    expected = nlp(ITEM, top_k=3)
    found = reply["results"][0]["answers"]
    assert [one["text"] for one in found] == [one["answer"] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=1e-5)
