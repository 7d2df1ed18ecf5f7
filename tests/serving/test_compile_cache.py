"""Compiled graphs that are kept: taken only where nothing has changed, and only with proof."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms import compat
from serving.engine import compile_cache
from serving.engine.compile_cache import CompileCache, Stale
from serving.engine.process import EngineProcess, StaleCache
from tests.serving import tiny_models

OUTPUTS = {(1, 16): {"logits": np.arange(6, dtype=np.float32).reshape(1, 2, 3)}}


def cache(root: Path, **key: Any) -> CompileCache:
    return CompileCache(root, {"config": 1, **key}, switch=lambda folder: folder and folder.mkdir(exist_ok=True))


def run(root: Path, outputs: Mapping[Any, Any] = OUTPUTS, **key: Any) -> bool:
    """One start; whether it took graphs that were kept."""
    one = cache(root, **key)
    assert one.begin()
    one.settle(outputs)
    return one.is_reused


def test_graphs_are_taken_again_for_the_same_network_only(tmp_path):
    assert [run(tmp_path), run(tmp_path), run(tmp_path, shapes=2), run(tmp_path)] == [False, True, False, True]


def test_graphs_that_compute_something_else_are_deleted(tmp_path):
    run(tmp_path)
    for changed in (OUTPUTS[(1, 16)]["logits"] + 1e-3, np.full((1, 2, 3), np.nan), np.zeros((1, 2, 4))):
        with pytest.raises(Stale, match="1x16/logits"):
            run(tmp_path, {(1, 16): {"logits": changed.astype(np.float32)}})
        assert not run(tmp_path) and run(tmp_path)


def test_a_golden_file_that_was_tampered_with_is_not_executed(tmp_path):
    run(tmp_path)
    golden = cache(tmp_path).folder / "golden.npz"
    for data in (b"", b"not a file of arrays"):
        golden.write_bytes(data)
        with pytest.raises(Stale, match="cannot be read"):
            run(tmp_path)
        run(tmp_path)
    np.savez(golden, **{"1x16/logits": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(Stale, match="cannot be read"):
        run(tmp_path)


def test_graphs_whose_user_died_are_not_tried_twice(tmp_path):
    run(tmp_path)
    died = cache(tmp_path)
    assert died.begin() and died.is_reused
    died._lock.release()  # as the kernel does
    assert not run(tmp_path)


def test_two_engines_do_not_meet_in_one_folder(tmp_path):
    first = cache(tmp_path)
    assert first.begin() and not cache(tmp_path).begin()
    first.settle(OUTPUTS)
    assert cache(tmp_path).begin()


@pytest.mark.parametrize("taken", ["", "key"])
def test_a_folder_that_cannot_be_made_costs_the_cache_alone(tmp_path, caplog, taken):
    place = tmp_path / "root"
    if taken:
        place.mkdir()
        place = cache(place).folder
    place.write_text("a file stands here")
    place.parent.chmod(0o500)
    assert not cache(tmp_path / "root").begin()
    assert "compiled graphs are not kept" in caplog.text
    place.parent.chmod(0o700)
    place.unlink()
    assert [run(tmp_path / "root"), run(tmp_path / "root")] == [False, True]


def test_a_full_disk_costs_the_cache_alone(tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", lambda self, data: os.write(os.open("/dev/full", os.O_WRONLY), data))
        assert not run(tmp_path)
    assert "No space left on device" in caplog.text and not list(tmp_path.glob("*/golden*"))
    assert [run(tmp_path), run(tmp_path)] == [False, True]


def test_old_graphs_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "KEPT", 2)
    for number in range(4):
        run(tmp_path, number=number)
    assert len(list(tmp_path.glob("*/golden.npz"))) == 2


def test_a_real_engine_takes_its_graphs_again_and_notices_when_they_are_wrong(tmp_path):
    compat.use_device("cpu", graph_mode=True)
    source = tiny_models.save(tmp_path / "qa", "qa")
    job = {"source": str(source), "task": None, "engine": "cell", "device": "cpu", "dtype": None, "threads": None,
           "allow_new_head": False}  # fmt: skip

    def start() -> None:
        engine = EngineProcess(job)
        try:
            engine.open(timeout=200)
            folder = str(tmp_path / "cache")
            engine.warm([(1, 16)], timeout=200, on_progress=lambda done, of: None, compile_cache=folder)
        finally:
            engine.close()

    start()
    (golden,) = (tmp_path / "cache").glob("*/golden.npz")
    assert list((golden.parent / "graphs").rglob("*.mindir")) and not (golden.parent / "in_use").exists()
    with np.load(golden) as found:
        wrong = {name: found[name] + 1 for name in found.files}
    np.savez(golden, **wrong)
    with pytest.raises(StaleCache, match="differs by 1"):  # as if the graph had become another one
        start()
    assert not golden.parent.exists()
