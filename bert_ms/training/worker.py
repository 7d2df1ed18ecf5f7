"""The process that msrun starts for each worker: runs the real command, keeps it on a leash, and notes how it ended.

msrun kills every worker within a second of one returning anything but 0, in the middle of a checkpoint if need be,
and forgets the code. So this process always returns 0 to msrun; the launcher reads the true code from the state folder
and is the only judge. It uses the standard library alone, to start fast and stay small.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from bert_ms.training.processes import die_with_parent, is_alive

STATE = "BERT_MS_LAUNCH_STATE"  # folder where each worker notes its process id and how it ended
LAUNCHER = "BERT_MS_LAUNCHER_PID"
MARK = "BERT_MS_LAUNCH_ID"  # same value in every process of one launch
THREADS = "BERT_MS_WORKER_THREADS"  # this worker's share of the machine's cores
SCHEDULER = "scheduler"

# The scheduler runs no training code; it only lets the workers find each other, and returns from init when they left.
_SCHEDULER_COMMAND = (
    "import mindspore; mindspore.set_device('CPU'); import mindspore.communication; mindspore.communication.init()"
)
_POLL_SECONDS = 0.2


def inside_worker() -> bool:
    """Whether this process belongs to a launch already, so that it must train and not launch again."""
    return os.environ.get("MS_ROLE") is not None


def name_of(rank: int) -> str:
    """Name of a worker's log and state files, as msrun names its logs."""
    return f"worker_{rank}"


def main(command: list[str]) -> int:
    """Run `command` (or the scheduler, if msrun gave this process that role) and note its end."""
    state, launcher = Path(os.environ[STATE]), int(os.environ[LAUNCHER])
    if os.environ.get("MS_ROLE") == "MS_SCHED":
        name, command = SCHEDULER, [sys.executable, "-c", _SCHEDULER_COMMAND]
    else:
        name = name_of(int(os.environ["RANK_ID"]))
    environment = dict(os.environ)
    # The launcher put a folder with one program, `python`, first: msrun needs it, the command does not.
    environment["PATH"] = environment["PATH"].partition(os.pathsep)[2]
    child = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
    _forward_once(child)
    _note(state / f"{name}.pid", f"{os.getpid()} {child.pid}")
    while True:
        try:
            code = child.wait(_POLL_SECONDS)
            break
        except subprocess.TimeoutExpired:
            if not is_alive(launcher):  # killed in a way it could not clean up after
                child.kill()
                child.wait()
                shutil.rmtree(state, ignore_errors=True)
                return 1
    with contextlib.suppress(FileNotFoundError):  # the launcher was killed just now, and its folder removed
        _note(state / f"{name}.exit", f"{time.time_ns()} {code}")
    return 0


def _forward_once(child: subprocess.Popen[bytes]) -> None:
    forwarded = False

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal forwarded
        if not forwarded and child.poll() is None:
            forwarded = True
            child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGINT, forward)


def _note(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="ascii")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
