"""The first signal is a wish, the second an order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bert_ms.training.lock import run_lock
from bert_ms.training.signals import StopRequest, stop_on_signals

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_only_sets_the_request(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop and stop.exit_status == 0
        os.kill(os.getpid(), number)
        assert stop and stop.signal == number and stop.exit_status == 128 + number
    assert signal.getsignal(number) is before


def test_the_second_signal_ends_the_process():
    code = (
        "import os, signal\nfrom bert_ms.training.signals import stop_on_signals\nwith stop_on_signals():\n"
        "    for _ in range(2):\n        os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM
    assert "SIGTERM: finishing this step" in done.stderr


def test_outside_the_main_thread_signals_keep_their_meaning():
    found: list[StopRequest] = []

    def work() -> None:
        with stop_on_signals() as stop:
            found.append(stop)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not found[0] and signal.getsignal(signal.SIGTERM) is before


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom bert_ms.training.lock import run_lock\n"
        f"with run_lock(Path({str(tmp_path)!r})):\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    with run_lock(tmp_path):
        assert str(os.getpid()) in (tmp_path / ".lock.owner").read_text()
    assert not (tmp_path / ".lock.owner").exists()
