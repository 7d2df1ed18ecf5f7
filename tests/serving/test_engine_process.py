"""Real engine processes: what they answer, how they die, what they leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms import compat
from bert_ms.training.processes import is_alive
from serving.engine.process import EngineProcess
from serving.engine.programs import open_program
from serving.faults import EngineError, LoadFailed, ServiceFault, Unavailable
from serving.repository import ModelRepository
from serving.scheduling.rows import Row, Submission
from serving.service import Call
from serving.spec import ModelSpec
from tests.serving import tiny_models
from tests.serving.fake_engine import descriptors
from tests.support import REPOSITORY

SHAPES = ((1, 32),)  # each is compiled at each of the starts here
ITEM = {"question": "who had an army?", "context": "The king of France had a great army in 1805."}
# Seconds for an engine to start on a busy machine.
START = 240.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: qa, other (the same with other weights), and broken ones."""
    compat.use_device("cpu", graph_mode=True)
    root = tmp_path_factory.mktemp("root")
    tiny_models.save(root / "qa", "qa")
    tiny_models.save(root / "other", "qa", seed=6)
    shutil.copytree(root / "qa", root / "changed")
    with (root / "changed" / "model.ckpt").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"\xff\xff\xff")
    shutil.copytree(root / "qa", root / "half")
    (root / "half" / "bert_ms.json").unlink()
    (root / "half" / "model.ckpt").write_bytes((root / "qa" / "model.ckpt").read_bytes()[:2000])
    shutil.copytree(root / "qa", root / "words")
    (root / "words" / "tokenizer.json").unlink()
    (root / "words" / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "king"]))
    shutil.copytree(root / "qa", root / "shape")
    config = json.loads((root / "shape" / "config.json").read_text())
    (root / "shape" / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    return root


@pytest.fixture(scope="module")
def repository(folder: Path) -> Iterator[ModelRepository]:
    spec = ModelSpec(name="qa", source=str(folder / "qa"), shapes=SHAPES, watchdog_seconds=5.0, ping_seconds=0.5)
    repository = ModelRepository([spec], root=folder)
    repository.start()
    assert repository.wait_started(START), repository.index()
    yield repository
    pid = repository.get("qa").model.keeper.pid
    repository.close()
    assert not is_alive(pid)


def ask(repository: ModelRepository, seconds: float = START) -> Any:
    return repository.get("qa").answer("qa", [ITEM], {}, Call.within(seconds)).results


def ready(repository: ModelRepository) -> bool:
    return repository.get("qa").state == "ready"


def until(condition: Callable[[], Any], seconds: float = START) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def test_the_front_process_never_imports_mindspore():
    code = (
        "import sys, serving.repository, serving.model, serving.answering, serving.settings\n"
        "assert 'mindspore' not in sys.modules, 'mindspore is imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def test_an_engine_is_not_told_the_servers_keys(monkeypatch):
    monkeypatch.setenv("BERTMS_API_KEYS", "a secret that is long enough")
    engine = EngineProcess({})
    try:
        file = Path(f"/proc/{engine.pid}/environ")
        until(lambda: b"PYTHONPATH=" in file.read_bytes(), 30)  # empty while the process is being started
        assert b"secret" not in file.read_bytes()
    finally:
        engine.kill()
        engine.close()


def test_an_engine_dies_with_its_parent():
    code = (
        "import time\n"
        "from serving.engine.process import EngineProcess\n"
        "print(EngineProcess({}).pid, flush=True)\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
        until(lambda: not is_alive(pid), 30)


def test_an_engine_answers_what_its_network_computes(repository, folder):
    served = repository.get("qa")
    job = {"source": str(folder / "qa"), "task": None, "engine": "auto", "device": "cpu"}
    program = open_program({**job, "dtype": None, "threads": None, "allow_new_head": False})
    assert (served.version, served.task, served.config) == (program.version, program.task, program.opened.config)
    ids = np.array([[2, *range(300, 330), 3]])
    found = served.infer_ids(ids, np.ones_like(ids), np.zeros_like(ids), Call.within(60))
    expected = program.run([ids.astype(np.int32), np.ones_like(ids, np.int32), np.zeros_like(ids, np.int32)])
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)
    assert served.stats()["compiles"] == 0


def test_a_model_is_loaded_anew_while_it_answers(repository, folder):
    before, version, files = ask(repository), repository.get("qa").version, descriptors()
    first = repository.get("qa").model.keeper.pid
    stop, failed, answers = threading.Event(), [], []

    def client() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(repository, 60.0))
                time.sleep(0.02)  # the engine that is being loaded wants the processor too
            except ServiceFault as fault:
                failed.append(fault)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(client)
        try:
            for broken, said in (("changed", "sha256 differs"), ("half", "half"), ("words", "word pieces"),
                                 ("shape", "intermediate_size is 64 in the configuration, but 32")):
                with pytest.raises(LoadFailed, match=said):
                    repository.load("qa", broken)
                assert repository.get("qa").version == version and ready(repository)
            repository.load("qa", "other")
        finally:
            stop.set()
    assert not failed
    assert repository.get("qa").version != version and ask(repository) != before
    assert answers[0] == before and answers[-1] in (before, ask(repository))
    assert not is_alive(first)
    assert descriptors() <= files
    assert repository.get("qa").model.keeper.pid in _children() and first not in _children()


def test_a_killed_engine_takes_what_it_worked_on_and_comes_back(repository):
    expected, served = ask(repository), repository.get("qa")
    pid = served.model.keeper.pid
    os.kill(pid, signal.SIGSTOP)  # so that a batch is on its way when it is killed
    with ThreadPoolExecutor(2) as pool:
        working = pool.submit(ask, repository)
        until(lambda: served.stats()["inflight"], 10)
        waiting = pool.submit(ask, repository)
        until(lambda: served.stats()["queue_items"], 10)
        os.kill(pid, signal.SIGKILL)
        fault = working.exception(10)
        assert isinstance(fault, Unavailable) and (fault.status, fault.code) == (503, "engine_restarting")
        assert served.state == "restarting" and repository.is_live and not repository.is_ready
        assert waiting.result() == expected
    assert served.model.keeper.pid != pid and repository.is_ready


def test_a_frozen_engine_is_noticed_and_replaced(repository):
    until(lambda: ready(repository))
    expected, served = ask(repository), repository.get("qa")
    pid, restarts = served.model.keeper.pid, served.stats()["engine_restarts"]
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    until(lambda: served.state == "restarting", 60)
    assert time.monotonic() - began < 30 and served.stats()["engine_restarts"] == restarts + 1
    assert not is_alive(pid)
    assert ask(repository) == expected


def test_a_row_of_impossible_ids_costs_only_its_own_request(repository):
    until(lambda: ready(repository))
    expected, served = ask(repository), repository.get("qa")
    pid = served.model.keeper.pid
    ids = np.array([2, 10**6, 3], np.int32)  # past the check that every request goes through
    with pytest.raises(EngineError):
        served.model.keeper.answer(Submission([Row(ids, np.ones_like(ids), np.zeros_like(ids))], Call.within(START)))
    assert ask(repository) == expected
    assert served.model.keeper.pid == pid, "the row never came to the graph, which is as it was"


def _children() -> set[int]:
    """Processes that this one has started and that are still there, zombies among them."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
