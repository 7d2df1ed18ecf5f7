"""Starting and ending workers. Those here do not train: what they do is quick, and told by their argument."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_ms.training import worker
from bert_ms.training.launch import launch
from bert_ms.training.log_tail import Follower, last_lines
from bert_ms.training.processes import marked
from tests.support import REPOSITORY

pytestmark = pytest.mark.workers

# Each worker writes its rank; then rank 1 does what the argument says, and rank 0 waits, or leaves when asked to.
WORKER = """
import os, signal, sys, time
rank = int(os.environ["RANK_ID"])
def leave(*_):
    print("saving", flush=True)
    time.sleep(0.5)
    open(f"saved_{rank}", "w").close()
    sys.exit(143)
signal.signal(signal.SIGTERM, leave)
print("rank", rank, "of", os.environ["RANK_SIZE"], sys.executable, flush=True)
open(f"started_{rank}", "w").close()
what = sys.argv[1]
if what == "end":
    sys.exit(0)
if rank == 1:
    while not os.path.exists("started_0"):
        time.sleep(0.05)
    if what == "raise":
        raise ValueError("a telling message")
    if what == "vanish":
        os.kill(os.getpid(), signal.SIGKILL)
time.sleep(100)
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    script = tmp_path / "work.py"
    script.write_text(WORKER, encoding="utf-8")
    return [sys.executable, str(script)]


def started(folder: Path, workers: int = 2) -> None:
    """Wait for the workers."""
    for _ in range(600):
        if all((folder / f"started_{rank}").exists() for rank in range(workers)):
            return
        time.sleep(0.1)
    raise AssertionError(f"workers did not start: {sorted(path.name for path in folder.iterdir())}")


def mark_of(pid: int) -> str:
    """The mark that a launch gave its processes, read from one of them."""
    import psutil

    for child in psutil.Process(pid).children(recursive=True):
        found = child.environ().get(worker.MARK)
        if found:
            return found
    raise AssertionError("no worker carries a mark")


def launcher(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """`launch` in a process of its own, to be sent signals, which it heeds though the tests may run under nohup."""
    code = (
        "import signal, sys; from bert_ms.training.launch import launch; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        f"sys.exit(launch({[*command, 'wait']!r}, workers=2, device='cpu', log_dir='logs', grace_seconds=20))"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    arguments = [sys.executable, "-c", code]
    return subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def test_all_workers_run_and_rank_0_is_shown(command: list[str], tmp_path: Path) -> None:
    terminal = io.StringIO()
    assert launch([*command, "end"], workers=3, device="cpu", log_dir="logs", terminal=terminal) == 0
    assert f"rank 0 of 3 {sys.executable}" in terminal.getvalue()
    assert "rank 1" not in terminal.getvalue()
    for rank in range(3):
        assert f"rank {rank} of 3" in (tmp_path / "logs" / f"worker_{rank}.log").read_text()


@pytest.mark.parametrize(
    ("what", "code", "shown"), [("raise", 1, "ValueError: a telling message"), ("vanish", 137, "SIGKILL")]
)
def test_one_workers_death_ends_all_and_shows_why(command: list[str], what: str, code: int, shown: str) -> None:
    terminal = io.StringIO()
    begin = time.monotonic()
    assert launch([*command, what], workers=2, device="cpu", log_dir="logs", terminal=terminal) == code
    assert time.monotonic() - begin < 30  # msrun's own start is nearly all of it; rank 0 would sleep for 100 s
    assert shown in terminal.getvalue()
    assert re.search(r"worker_1 (ended with code 1|was ended by signal 9).*worker_1\.log", terminal.getvalue())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_lets_workers_save_and_leave(command: list[str], tmp_path: Path, number: int, code: int) -> None:
    process = launcher(command, tmp_path)
    started(tmp_path)
    mark = mark_of(process.pid)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert (tmp_path / "saved_0").exists() and (tmp_path / "saved_1").exists()
    assert "saving" in output
    assert marked(worker.MARK, mark) == []


def test_nothing_outlives_a_launcher_that_is_killed(command: list[str], tmp_path: Path) -> None:
    process = launcher(command, tmp_path)
    started(tmp_path)
    mark = mark_of(process.pid)
    assert len(marked(worker.MARK, mark)) >= 5  # msrun, two workers, and the process that holds each
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while marked(worker.MARK, mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert marked(worker.MARK, mark) == []


def test_logs_of_the_launch_before_are_kept(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker_0.log").write_text("earlier")
    launch([*command, "end"], workers=1, device="cpu", log_dir="logs", terminal=io.StringIO())
    assert (tmp_path / "logs" / "worker_0.log.1").read_text() == "earlier"


def test_following_a_log_shows_whole_lines_once(tmp_path: Path) -> None:
    log, terminal = tmp_path / "log", io.StringIO()
    follower = Follower(log, terminal)
    follower.copy()
    with log.open("w") as file:
        for piece, expected in [("on", ""), ("e\ntw", "one\n"), ("o\rthree", "one\ntwo\r")]:
            file.write(piece)
            file.flush()
            follower.copy()
            assert terminal.getvalue().replace("\r\n", "\n") == expected
    follower.copy(everything=True)
    assert terminal.getvalue().endswith("three")


def test_the_last_lines_begin_at_the_traceback(tmp_path: Path) -> None:
    log = tmp_path / "log"
    trace = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: x"]
    log.write_text("\n".join([*(f"step {i}" for i in range(100)), *trace, "[INFO] DISTRIBUTED noise"]))
    assert last_lines(log).splitlines() == trace
    log.write_text("\n".join(f"step {i}" for i in range(100)))
    assert last_lines(log, 3).splitlines() == ["step 97", "step 98", "step 99"]
