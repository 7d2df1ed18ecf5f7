"""Models by name: defaults, loading, changing over, taking out; the engines are in this process."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving.faults import LoadFailed, ServiceFault, Unavailable, UnknownModel, WrongTask
from serving.repository import ModelRepository
from serving.service import Call
from serving.spec import ModelSpec
from tests.serving.fake_engine import CONFIG, HELLO, World, descriptors, refuse
from tests.serving.test_keeper import until

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king", "war"]
ITEM = {"question": "king", "context": "war king war"}
SHAPES = ((1, 64), (4, 64))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folders with a vocabulary, which is all of them that the front process reads."""
    words = WORDS + [f"[unused{n}]" for n in range(CONFIG.vocab_size - len(WORDS))]
    for name in ("a", "b"):
        (tmp_path / "root" / name).mkdir(parents=True)
        (tmp_path / "root" / name / "vocab.txt").write_text("\n".join(words))
    return tmp_path / "root"


@pytest.fixture
def opened(root: Path) -> Iterator[Callable[..., tuple[ModelRepository, World]]]:
    made: list[ModelRepository] = []

    def make(*names: str, world: World | None = None, **options: Any) -> tuple[ModelRepository, World]:
        world = world or World()
        specs = [ModelSpec(name=name, source=str(root / name), shapes=SHAPES) for name in names]
        repository = ModelRepository(specs, root=root, start=world.start, **options)
        made.append(repository)
        repository.start()
        repository.wait_started(10)
        return repository, world

    yield make
    for repository in made:
        repository.close()


def ask(repository: ModelRepository, name: str | None = None) -> Any:
    return repository.get(name).answer("qa", [ITEM], {}, Call.within(10)).results


def test_a_request_without_a_name_goes_to_the_first_model_that_answers_it(opened):
    repository, _ = opened("b", "a")
    assert repository.names() == ["a", "b"] and repository.get().name == "b"
    assert repository.for_kind("qa").name == "b" and repository.for_kind("qa", "a").name == "a"
    assert repository.is_ready and repository.is_live
    with pytest.raises(UnknownModel, match="unknown model 'c'.*Known: a, b"):
        repository.get("c")
    with pytest.raises(WrongTask, match="no model here answers embed: expected one of qa, tokenize"):
        repository.for_kind("embed")
    with pytest.raises(WrongTask, match="'a' was trained for question-answering and answers qa, tokenize, not embed"):
        repository.for_kind("embed", "a")
    (row, _) = repository.index()
    assert {key: row[key] for key in ("name", "version", "state", "reason", "task", "kinds")} == {
        "name": "b", "version": "v1", "state": "ready", "reason": "", "task": "question-answering",
        "kinds": ["qa", "tokenize"],
    }  # fmt: skip


def test_an_empty_repository_serves_nothing_and_is_not_ready(opened):
    repository, _ = opened()
    assert not repository.is_ready and repository.names() == []
    for asked in (repository.get, lambda: repository.for_kind("qa")):
        with pytest.raises(UnknownModel, match="no model is served"):
            asked()


def test_a_model_that_is_not_there_fails_alone(opened, root):
    (root / "b" / "vocab.txt").unlink()
    repository, _ = opened("a", "b")
    assert not repository.is_ready and ask(repository, "a")
    assert {row["name"]: row["state"] for row in repository.index()} == {"a": "ready", "b": "failed"}
    assert "vocab.txt" in repository.get("b").reason
    with pytest.raises(Unavailable) as caught:
        ask(repository, "b")
    assert (caught.value.status, caught.value.code) == (503, "engine_failed")
    with pytest.raises(Unavailable, match=r"^model 'b' is not ready: .*vocab\.txt.*[^.]\.$"):
        repository.for_kind("qa", "b")


def test_a_model_that_still_loads_answers_503_and_says_how_far_it_is(opened):
    world, hold = World(), threading.Event()
    world.greet = lambda: hold.wait(10) and HELLO
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(opened, "a", world=world)
        until(lambda: world.engines)
        hold.set()
        repository, _ = opening.result()
    assert ask(repository)
    hold.clear()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(repository.load, "b", "b")
        until(lambda: "b" in repository.names())
        for asked in (lambda: repository.for_kind("qa", "b"), lambda: ask(repository, "b")):
            with pytest.raises(Unavailable) as caught:
                asked()
            assert (caught.value.code, caught.value.retry_after) == ("loading", 5.0)
        with pytest.raises(LoadFailed, match="being loaded already"):
            repository.load("b", "b")
        assert repository.for_kind("qa").name == "a"
        hold.set()
        loading.result()
    assert ask(repository, "b")


def test_a_load_that_fails_leaves_the_old_model_and_no_new_one(opened):
    repository, world = opened("a")
    model = repository.get("a").model
    world.greet = refuse("it has no weights")
    for name, source in (("a", None), ("a", "b"), ("b", "b")):
        with pytest.raises(LoadFailed, match="it has no weights"):
            repository.load(name, source)
    assert repository.names() == ["a"] and repository.get("a").model is model and ask(repository)
    assert all(not engine.is_alive for engine in world.engines[1:])


def test_a_network_of_another_kind_or_vocabulary_is_refused(opened):
    repository, world = opened("a")
    for hello, said in (
        (dataclasses.replace(HELLO, pipeline="text-generation", task="causal-lm"), "task 'causal-lm' is not served"),
        (dataclasses.replace(HELLO, config=dataclasses.replace(CONFIG, vocab_size=2000)), "belong to different models"),
    ):
        world.greet = lambda hello=hello: hello
        with pytest.raises(LoadFailed, match=said):
            repository.load("a")


def test_loading_anew_loses_no_request_and_leaves_nothing_behind(opened):
    repository, world = opened("a")
    ask(repository)
    files, threads = descriptors(), threading.active_count()
    stop, faults, answered = threading.Event(), [], []

    def client() -> None:
        while not stop.is_set():
            try:
                answered.append(ask(repository))
            except ServiceFault as fault:
                faults.append(fault)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(client)
        for number in range(12):
            version = f"v{number}"
            world.greet = lambda version=version: dataclasses.replace(HELLO, version=version)
            repository.load("a", "ab"[number % 2])
            assert repository.get("a").version == version
        stop.set()
    assert not faults and len(answered) > 12
    assert [engine.is_alive for engine in world.engines] == [False] * 12 + [True]
    assert (descriptors(), threading.active_count()) == (files, threads)


def test_the_old_model_is_gone_without_the_garbage_collector(opened):
    repository, world = opened("a", "b")
    gc.collect()
    gc.disable()
    try:
        for leave in (repository.load, repository.unload):
            for name in ("a", "b"):
                ask(repository, name)
                model = repository.get(name).model
                parts = {"model": model, "tokenizer": model._tokenizer, "keeper": model.keeper,
                         "queue": model.keeper._queue, "feeder": model.keeper._feeder,
                         "thread": model.keeper._thread}  # fmt: skip
                left = {part: weakref.ref(value) for part, value in parts.items()}
                del model, parts
                leave(name)
                world.engines.clear()  # of this test's own
                assert [part for part, value in left.items() if value() is not None] == []
    finally:
        gc.enable()


def test_a_request_stays_with_the_model_that_it_came_to(opened):
    repository, world = opened("a")
    world.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, repository)
        until(lambda: repository.get("a").stats()["inflight"])
        gate, world.gate = world.gate, threading.Event()
        old = world.engines[0].world = World()  # the old engine keeps its own gate
        old.gate = gate
        world.gate.set()
        loading = pool.submit(repository.load, "a")
        until(lambda: len(world.engines) == 2 and repository.get("a").model.keeper._engine is world.engines[1])
        assert ask(repository) and not asked.done() and not loading.done()
        gate.set()
        assert asked.result()
        loading.result()
    assert not world.engines[0].is_alive


def test_a_model_that_is_taken_out_answers_what_it_accepted(opened):
    repository, world = opened("a", "b")
    world.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        served = repository.get("a")
        asked = pool.submit(ask, repository, "a")
        until(lambda: served.stats()["inflight"])
        unloading = pool.submit(repository.unload, "a")
        until(lambda: served.state == "draining")
        with pytest.raises(Unavailable) as caught:
            served.answer("qa", [ITEM], {}, Call.within(5))
        assert caught.value.code == "draining"
        world.gate.set()
        assert asked.result()
        unloading.result()
    assert repository.names() == ["b"]
    with pytest.raises(UnknownModel):
        repository.unload("a")


def test_a_model_that_was_taken_out_can_be_loaded_again_by_name(opened):
    repository, _ = opened("a")
    repository.unload("a")
    repository.load("a")
    assert ask(repository, "a")
    with pytest.raises(UnknownModel, match="no source is known for model 'new'"):
        repository.load("new")


OUTSIDE = ("../secret", "/etc", "a/../../secret", "link", "inside/out", "missing", "", ".", "a\x00")


@pytest.mark.parametrize("source", OUTSIDE)
def test_nothing_is_loaded_from_outside_the_root(opened, root, source):
    repository, world = opened("a")
    (root.parent / "secret").mkdir()
    (root.parent / "secret" / "vocab.txt").write_text("\n".join(WORDS))
    (root / "link").symlink_to(root.parent / "secret")
    (root / "inside" / "out").mkdir(parents=True)
    (root / "inside" / "out" / "vocab.txt").symlink_to(root.parent / "secret" / "vocab.txt")
    with pytest.raises(LoadFailed) as caught:
        repository.load("new", source)
    assert caught.value.code == "not_allowed" and str(root) not in caught.value.detail
    assert repository.names() == ["a"] and len(world.engines) == 1


def test_without_a_root_only_known_models_are_loaded(opened, root):
    repository, _ = opened("a")
    repository._root = None
    repository.load("a")
    with pytest.raises(LoadFailed, match="no model root is set"):
        repository.load("b", str(root / "b"))


def test_names_that_could_be_paths_are_refused(opened):
    repository, _ = opened("a")
    with pytest.raises(LoadFailed, match="name is '../x'"):
        repository.load("../x", "a")


def test_draining_refuses_the_new_and_waits_for_the_accepted(opened):
    repository, world = opened("a")
    world.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, repository)
        until(lambda: repository.get("a").stats()["inflight"])
        assert not repository.drain(0.05)
        with pytest.raises(Unavailable) as caught:
            ask(repository)
        assert caught.value.code == "draining" and not repository.is_ready and repository.is_live
        world.gate.set()
        assert repository.drain(5)
        assert asked.result()
    with pytest.raises(Unavailable):
        repository.load("b", "b")
    repository.close()
    assert not repository.is_live


def test_observers_see_every_model_and_their_own_mistakes_stop_nothing(opened):
    repository, world = opened("a")
    seen: list[tuple[str, dict[str, Any]]] = []

    def broken(event: str, **values: Any) -> None:
        raise RuntimeError("a meter fell off")

    repository.observers += [broken, lambda event, **values: seen.append((event, values))]
    ask(repository)
    world.engines[0].kill()
    until(lambda: repository.is_ready and [event for event, _ in seen].count("state") == 2)
    assert len(world.engines) == 2
    events = dict(seen)
    assert events["batch"]["model"] == "a" and events["batch"]["rows"] == 1
    assert events["engine_restart"] == {"model": "a", "reason": "died"}
    assert [values["state"] for event, values in seen if event == "state"] == ["restarting", "ready"]
