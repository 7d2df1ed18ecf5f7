"""Checkpoints are whole or not there; damage and a full disk cost at most one of them."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bert_ms.errors import TrainingError
from bert_ms.training import state as state_module
from bert_ms.training.state import CheckpointStore, write_arrays

ARRAYS = {
    "model": {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.array(3, np.int32)},
    "optimizer": {"adam_m.weight": np.ones((2, 3), np.float32)},
}


def store_with(directory: Path, *steps: int, keep_last: int = 10) -> CheckpointStore:
    store = CheckpointStore(directory, keep_last=keep_last)
    for step in steps:
        store.save(step, ARRAYS, {"step": step})
    return store


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_what_was_saved_comes_back(tmp_path):
    point = store_with(tmp_path, 3).latest()
    assert point is not None and (point.step, point.state) == (3, {"step": 3})
    for name, arrays in ARRAYS.items():
        loaded = point.arrays(name)
        assert loaded.keys() == arrays.keys()
        for key, array in arrays.items():
            assert loaded[key].dtype == array.dtype
            np.testing.assert_array_equal(loaded[key], array)


def test_steps_are_ordered_by_number(tmp_path):
    point = store_with(tmp_path, 2, 9, 10, 100).latest()
    assert point is not None and point.step == 100


def test_an_empty_run_has_no_checkpoint(tmp_path):
    assert CheckpointStore(tmp_path / "checkpoints").latest() is None


def test_only_the_last_are_kept(tmp_path):
    store_with(tmp_path, 1, 2, 3, 4, keep_last=2)
    assert names(tmp_path) == ["step-3", "step-4"]


def test_a_step_can_be_saved_again_without_a_moment_when_none_is_there(tmp_path):
    store = store_with(tmp_path, 5, keep_last=1)
    store.save(5, ARRAYS, {"step": 5, "again": True})
    point = store.latest()
    assert point is not None and (point.step, point.state["again"]) == (5, True)
    assert names(tmp_path) == ["step-5.1"]
    store.save(5, ARRAYS, {})
    assert names(tmp_path) == ["step-5.2"]


def damage_flip(path: Path) -> None:
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def damage_truncate(path: Path) -> None:
    file = path / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def damage_remove(path: Path) -> None:
    (path / "model.safetensors").unlink()


def damage_manifest(path: Path) -> None:
    (path / "manifest.json").write_text('{"format": 1', encoding="utf-8")


def damage_no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def damage_format(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format": 99}), encoding="utf-8")


DAMAGES = {
    damage_flip: "model.safetensors does not have its sha256",
    damage_truncate: "optimizer.safetensors has .* bytes instead of",
    damage_remove: "model.safetensors: No such file",
    damage_manifest: "manifest.json is not readable",
    damage_no_manifest: "manifest.json: No such file",
    damage_format: "format is 99, this version reads 1",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage):
    store = store_with(tmp_path, 1, 2)
    damage(tmp_path / "step-2")
    with caplog.at_level(logging.WARNING):
        point = store.latest()
    assert point is not None and point.step == 1
    assert len(caplog.records) == 1
    assert re.search(DAMAGES[damage], caplog.text)


def test_damaged_newer_checkpoints_do_not_crowd_out_good_ones(tmp_path):
    store_with(tmp_path, 1, 5, 6, keep_last=2)
    for step in (5, 6):
        damage_flip(tmp_path / f"step-{step}")
    store_with(tmp_path, 2, 3, keep_last=2)
    assert names(tmp_path) == ["step-2", "step-3"]


def test_a_full_disk_leaves_earlier_checkpoints_and_nothing_half_written(tmp_path, monkeypatch):
    store = store_with(tmp_path, 1)

    def full(path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(state_module, "_sync", full)
    with pytest.raises(
        TrainingError, match=r"cannot write checkpoint .*step-2: No space left.*It needs 0 MB.*untouched"
    ):
        store.save(2, ARRAYS, {})
    assert names(tmp_path) == ["step-1"]
    point = store.latest()
    assert point is not None and point.step == 1


def test_a_real_full_disk_is_a_clear_error(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        store = store_with(place, 1)
        big = {"model": {"weight": np.zeros(1 << 20, np.float32)}}
        with pytest.raises(TrainingError, match=r"It needs 4 MB and \d MB are free"):
            store.save(2, big, {})
        assert names(place) == ["step-1"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_an_interrupted_save_leaves_nothing_and_clean_removes_what_a_kill_left(tmp_path, monkeypatch):
    store = store_with(tmp_path, 1)
    monkeypatch.setattr(state_module, "_sync", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.save(2, ARRAYS, {})
    assert names(tmp_path) == ["step-1"]
    (tmp_path / ".step-7.123.tmp").mkdir()
    store.clean()
    assert names(tmp_path) == ["step-1"]


KILLED = """
import sys
import numpy as np
from bert_ms.training.state import CheckpointStore

store = CheckpointStore(sys.argv[1], keep_last=2)
arrays = {"model": {f"w{i}": np.full(1 << 18, i, np.float32) for i in range(8)}}
step = 0
while True:
    step += 1
    store.save(step, arrays, {"step": step})
    print(step, flush=True)
"""


@pytest.mark.parametrize("delay", [0.01, 0.05, 0.09])
def test_a_kill_at_any_moment_leaves_a_whole_newest_checkpoint(tmp_path, caplog, delay):
    script = tmp_path / "saver.py"
    script.write_text(KILLED, encoding="utf-8")
    root = str(Path(__file__).resolve().parents[2])
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert process.stdout is not None
    for _ in range(3):
        reported = int(process.stdout.readline())
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    rest = process.communicate()[0].split()
    reported = max([reported, *map(int, rest)])
    point = CheckpointStore(tmp_path / "run").latest()
    assert point is not None and point.step >= reported
    assert not caplog.records


def test_a_file_is_replaced_in_one_step_with_its_metadata(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "best" / "model.safetensors"
    for step in ("1", "2"):
        write_arrays(path, ARRAYS["model"], {"step": step})
    with safe_open(path, "np") as file:
        assert file.metadata() == {"step": "2"}
        np.testing.assert_array_equal(file.get_tensor("weight"), ARRAYS["model"]["weight"])
    assert names(path.parent) == ["model.safetensors"]
