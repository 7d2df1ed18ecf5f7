"""The cache: found by content, complete or absent, mended when damaged, streamed from MindRecord."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms.data import cache, mindrecord, ragged
from bert_ms.data.loader import Batches, EvaluationBatches
from bert_ms.errors import DataError
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer
from tests.support import REPOSITORY

KEY = {"data": "abc", "arguments": {"max_length": 8}}
STORAGES = ["arrays", "mindrecord"]


def _features(rows: int = 37, seed: int = 0) -> Features:
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 9, rows)
    row_splits = ragged.splits(lengths)
    total = int(row_splits[-1])
    return Features(
        random.integers(0, 999, total).astype(np.int32),
        random.integers(0, 2, total).astype(np.int32),
        row_splits,
        labels={
            "start_positions": random.integers(0, 8, rows).astype(np.int32),
            "labels": random.integers(0, 8, total).astype(np.int32),
            "scores": random.random((rows, 3)).astype(np.float32),
        },
        example_index=np.arange(rows, dtype=np.int32) // 2,
        offsets=random.integers(0, 99, (total, 2)).astype(np.int32),
        in_context=random.integers(0, 2, total).astype(np.int8),
        meta={"pad_token_id": 3, "dropped": ["x"]},
    )


class _Counted:
    """Builds features and counts how often."""

    def __init__(self, make: Callable[[], Features] = _features):
        self.make, self.calls = make, 0

    def __call__(self) -> Features:
        self.calls += 1
        return self.make()


def _assert_same(first: Features, second: Features) -> None:
    for field in dataclasses.fields(Features):
        a, b = getattr(first, field.name), getattr(second, field.name)
        if field.name == "labels":
            assert a.keys() == b.keys()
            for name in a:
                assert a[name].dtype == b[name].dtype and np.array_equal(a[name], b[name]), name
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype and np.array_equal(a, b), field.name
        else:
            assert a == b, field.name


@pytest.mark.parametrize("storage", STORAGES)
def test_features_come_back_as_they_were_built(tmp_path: Path, storage: Any) -> None:
    build = _Counted()
    first = cache.prepared(KEY, build, directory=tmp_path, storage=storage)
    second = cache.prepared(KEY, build, directory=tmp_path, storage=storage)
    assert build.calls == 1
    _assert_same(first, _features())
    _assert_same(second, _features())


@pytest.mark.parametrize("storage", STORAGES)
def test_optional_columns_may_be_absent(tmp_path: Path, storage: Any) -> None:
    bare = dataclasses.replace(_features(), labels={}, offsets=None, in_context=None)
    for _ in range(2):
        _assert_same(cache.prepared(KEY, lambda: bare, directory=tmp_path, storage=storage), bare)


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    build = _Counted()
    for max_length in (8, 16, 8):
        cache.prepared({**KEY, "arguments": {"max_length": max_length}}, build, directory=tmp_path)
    assert build.calls == 2


def test_the_key_tells_content_tokenizer_arguments_and_code(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b"]
    tokenizer, other = Tokenizer.from_vocab(words), Tokenizer.from_vocab(words, do_lower_case=False)
    file, same, changed = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    for path, text in ((file, "1"), (same, "1"), (changed, "2")):
        path.write_text(text)
    key = cache.content_key(file, tokenizer=tokenizer, version=1, max_length=8)
    assert cache.content_key(same, tokenizer=Tokenizer.from_vocab(words), version=1, max_length=8) == key
    others = [
        cache.content_key(changed, tokenizer=tokenizer, version=1, max_length=8),
        cache.content_key(file, tokenizer=other, version=1, max_length=8),
        cache.content_key(file, tokenizer=tokenizer, version=2, max_length=8),
        cache.content_key(file, tokenizer=tokenizer, version=1, max_length=9),
    ]
    assert key not in others
    with pytest.raises(DataError, match=r"gone\.json cannot be read: No such file or directory"):
        cache.content_key(tmp_path / "gone.json", tokenizer=tokenizer, version=1)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "manifest"])
def test_damage_is_noticed_and_mended(
    tmp_path: Path, storage: Any, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    build = _Counted()
    cache.prepared(KEY, build, directory=tmp_path, storage=storage)
    (entry,) = (p for p in tmp_path.iterdir() if p.is_dir())
    victim = entry / ("input_ids.npy" if storage == "arrays" else mindrecord.FILE)
    content = victim.read_bytes()
    victim.chmod(0o644)
    if damage == "flip":
        victim.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "cut":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        victim.unlink()
    else:
        (entry / cache.MANIFEST).write_text("{")
    mended = cache.prepared(KEY, build, directory=tmp_path, storage=storage)
    assert build.calls == 2
    assert "is damaged" in caplog.text
    _assert_same(mended, _features())
    _assert_same(cache.prepared(KEY, build, directory=tmp_path, storage=storage), _features())
    assert build.calls == 2


def test_several_askers_build_once(tmp_path: Path) -> None:
    build = _Counted()
    threads = [threading.Thread(target=cache.prepared, args=(KEY, build), kwargs={"directory": tmp_path})
               for _ in range(6)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.calls == 1


def _leftovers(directory: Path) -> list[str]:
    return [p.name for p in directory.iterdir() if not p.name.endswith(".lock")]


def test_too_little_room_is_said_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
    with pytest.raises(
        DataError, match=r"features cannot be kept in .*: 0 MB needed, 0 MB free\. Make room there, or set"
    ):
        cache.prepared(KEY, _features, directory=tmp_path)
    assert _leftovers(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = np.save
    written = itertools.count()

    def save(*arguments: Any, **options: Any) -> None:
        if next(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved(*arguments, **options)

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(DataError, match=r"features cannot be kept in .*: No space left on device"):
        cache.prepared(KEY, _features, directory=tmp_path, storage="arrays")
    assert _leftovers(tmp_path) == []
    _assert_same(cache.prepared(KEY, _features, directory=tmp_path, storage="arrays"), _features())


def test_a_limit_on_file_size_leaves_nothing(tmp_path: Path) -> None:
    """The operating system itself refuses to write on, as on a full disk."""
    program = (
        "import resource, signal, sys\n"
        "from tests.data_room.test_cache import KEY, _features\n"
        "from bert_ms.data import cache\n"
        "from bert_ms.errors import DataError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    cache.prepared(KEY, lambda: _features(20_000), directory=sys.argv[1])\n"
        "except DataError as error:\n"
        "    print('refused:', str(error)[:60])\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], cwd=REPOSITORY,
                          capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert done.stdout.startswith("refused: features cannot be kept in"), done.stdout + done.stderr
    assert _leftovers(tmp_path / "cache") == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    cache.prepared(KEY, _features, directory=tmp_path)
    (name,) = _leftovers(tmp_path)
    shutil.move(tmp_path / name, tmp_path / f".{name}.99999.tmp")
    cache.prepared(KEY, _features, directory=tmp_path)
    assert _leftovers(tmp_path) == [name]


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DataError, match=r"features cannot be kept in .*file/cache: Not a directory\. Make room there, or set"
    ):
        cache.prepared(KEY, _features, directory=tmp_path / "file" / "cache")


def test_auto_takes_mindrecord_for_large_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def storage_of(directory: Path) -> str:
        cache.prepared(KEY, _features, directory=directory)
        (entry,) = (p for p in directory.iterdir() if p.is_dir())
        return json.loads((entry / cache.MANIFEST).read_text())["storage"]

    assert storage_of(tmp_path / "small") == "arrays"
    monkeypatch.setattr(cache, "LARGE_BYTES", 100)
    assert storage_of(tmp_path / "large") == "mindrecord"


def test_an_unknown_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="storage is 'disk', expected one of auto, arrays, mindrecord"):
        cache.prepared(KEY, _features, directory=tmp_path, storage="disk")  # type: ignore[arg-type]


def test_batches_streamed_from_mindrecord_equal_those_from_memory(tmp_path: Path) -> None:
    rows = cache.prepared_rows(KEY, _features, directory=tmp_path, storage="mindrecord")
    assert isinstance(rows, mindrecord.Rows)
    in_memory, streamed = (Batches(s, batch_size=4, seed=1, buckets=(4, 8)) for s in (_features(), rows))
    for position in (0, 7, 12):
        pairs = zip(in_memory.starting_at(position), streamed.starting_at(position), strict=False)
        for a, b in itertools.islice(pairs, 15):
            assert list(a) == list(b)
            for name in a:
                assert a[name].dtype == b[name].dtype
                assert np.array_equal(a[name], b[name], equal_nan=name == "scores"), name
    for a, b in zip(EvaluationBatches(_features(), batch_size=8), EvaluationBatches(rows, batch_size=8), strict=True):
        assert all(np.array_equal(a[name], b[name], equal_nan=name == "scores") for name in a)
    assert in_memory.fingerprint == streamed.fingerprint


def test_small_data_needs_no_mindspore() -> None:
    program = (
        "import sys, tempfile\n"
        "from tests.data_room.test_cache import KEY, _features\n"
        "from bert_ms.data import cache, loader, squad, question_features\n"
        "cache.prepared(KEY, _features, directory=tempfile.mkdtemp())\n"
        "assert 'mindspore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, timeout=60)


def test_the_default_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("BERT_MS_CACHE", raising=False)
    assert cache.default_directory() == Path("/x/bert_ms/features")
    monkeypatch.setenv("BERT_MS_CACHE", "/y")
    assert cache.default_directory() == Path("/y/features")
