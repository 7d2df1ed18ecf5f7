"""Starting a command on several workers through msrun, MindSpore's own launcher, and ending all of them together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from bert_ms.training import msrun, worker
from bert_ms.training.cluster import Cluster, check_ascend_devices, choose_port, from_environment, spans_machines
from bert_ms.training.log_tail import Follower, last_lines, show
from bert_ms.training.peers import Failure, Peers
from bert_ms.training.processes import die_with_parent, is_alive, kill_marked, return_code
from bert_ms.training.worker import inside_worker

__all__ = ["Cluster", "from_environment", "inside_worker", "is_needed", "launch"]

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.1
_SETTLE_SECONDS = 0.5  # after one worker's end, for others that fall with it to note theirs


def launch(
    command: Sequence[str],
    *,
    workers: int,
    log_dir: str | os.PathLike[str],
    device: str = "auto",
    cluster: Cluster | None = None,
    bind_core: bool | None = None,
    environment: Mapping[str, str] | None = None,
    terminal: TextIO | None = None,
    grace_seconds: float = 120.0,
    cluster_timeout: int = 300,
) -> int:
    """Run `command` once a worker and wait for all; whatever happens, no process of theirs is left behind.

    Rank 0's output is shown live. SIGINT, SIGTERM and SIGHUP reach the workers as SIGTERM, so that they can save and
    leave; after the grace period, or at a second signal, they are killed. If this process is killed, they die too.

    Args:
        command: program with its arguments, the same for every worker; it finds its rank by `distributed.initialise`.
        workers: processes on this machine, one a device.
        log_dir: gets worker_<rank>.log, scheduler.log and msrun.log; those of the launch before are kept as *.log.1.
        device: auto, cpu, gpu or ascend; ascend checks the devices there are and heeds a rank table.
        cluster: the machines; None reads the environment, see `cluster.from_environment`.
        bind_core: have msrun bind each worker to cores of its own; None asks BERT_MS_BIND_CORE.
        environment: added to the workers' environment.
        terminal: where rank 0's log and what the launcher has to say are shown; None is standard output.
        grace_seconds: that workers have to save and leave after a signal.
        cluster_timeout: seconds that the machines wait for each other at the start.

    Returns:
        0 when every worker here returned 0; the code of the first that did not (128 + n if signal n ended it);
        128 + n after signal n: 130 after SIGINT, 143 after SIGTERM.

    Raises:
        ConfigError: the environment or rank table makes no sense, or the port is in use.
        DeviceError: fewer Ascend devices than workers.
    """
    cluster = cluster or from_environment(workers, device=device)
    bind_core = msrun.binds_cores() if bind_core is None else bind_core
    if device == "ascend":
        check_ascend_devices(cluster)
    port = choose_port(cluster)
    logs = Path(log_dir).absolute()
    logs.mkdir(parents=True, exist_ok=True)
    for log in logs.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))
    with tempfile.TemporaryDirectory(prefix="bert_ms_launch_") as folder:
        peers = Peers(cluster, port)
        running = _Launch(cluster, logs, Path(folder), terminal or sys.stdout, grace_seconds, peers, uuid.uuid4().hex)
        line = msrun.command_line(cluster, port, logs, command, bind_core=bind_core, timeout=cluster_timeout)
        return running.run(line, {**os.environ, **(environment or {})})


def is_needed(workers: int, *, device: str = "auto") -> bool:
    """Whether a run has to be launched: it has several workers, here or on several machines, and this is none of them.

    Args:
        workers: on this machine.
        device: auto, cpu, gpu or ascend.

    Raises:
        ConfigError: the environment makes no sense.
    """
    return not inside_worker() and (workers > 1 or spans_machines(device=device))


@dataclass
class _Launch:
    """One launch while it runs."""

    cluster: Cluster
    logs: Path
    state: Path
    terminal: TextIO
    grace_seconds: float
    peers: Peers
    mark: str
    signals: list[int] = field(default_factory=list)
    failure: Failure | None = None

    def run(self, command_line: list[str], environment: Mapping[str, str]) -> int:
        """Start it, watch it, and leave nothing of it behind; returns the code for the shell."""
        ranks = range(self.cluster.first_rank, self.cluster.first_rank + self.cluster.local_workers)
        self.names = [worker.name_of(rank) for rank in ranks]
        shown = self.logs / f"{worker.name_of(0)}.log"
        follower = Follower(shown, self.terminal) if self.cluster.node_rank == 0 else None
        self._say(f"{self.cluster.workers} workers, {self.cluster.local_workers} of them here; logs in {self.logs}")
        with self._heeding_signals(), (self.logs / "msrun.log").open("wb") as msrun_log:
            process = subprocess.Popen(
                command_line,
                env=msrun.environment(environment, self.cluster, state=self.state, mark=self.mark),
                stdin=subprocess.DEVNULL,
                stdout=msrun_log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the terminal's Ctrl+C reaches us alone
                preexec_fn=die_with_parent,
            )
            try:
                return self._watch(process, follower)
            finally:
                self.peers.part(self.failure)
                process.kill()
                process.wait()
                left = kill_marked(worker.MARK, self.mark)
                if left:
                    logger.error("processes %s could not be killed", left)
                if follower:
                    follower.copy(everything=True)

    def _watch(self, process: subprocess.Popen[bytes], follower: Follower | None) -> int:
        """Until all workers ended well, one ended badly, or a signal's grace is over."""
        deadline = None
        while True:
            time.sleep(_POLL_SECONDS)
            if follower:
                follower.copy()
            ended, elsewhere = self._ended(), self.peers.poll()
            if self.signals and deadline is None:
                deadline = time.monotonic() + self.grace_seconds
                self._ask_to_leave()
            if elsewhere:
                self._say(f"{elsewhere.text}, so all workers are stopped; its log is there")
                self.failure = elsewhere
                return elsewhere.code
            if deadline is not None:
                if len(ended) == len(self.names) or len(self.signals) > 1 or time.monotonic() > deadline:
                    return self._leave(ended)
            elif any(code for _, code in ended.values()):
                time.sleep(_SETTLE_SECONDS)
                return self._report_failure(follower)
            elif len(ended) == len(self.names):
                return 0
            elif trouble := self._trouble(process, ended):
                self._say(trouble)
                self.failure = Failure(trouble.splitlines()[0], return_code(process.poll() or 1))
                return self.failure.code

    def _leave(self, ended: Mapping[str, object]) -> int:
        late = [name for name in self.names if name not in ended]
        code = 128 + self.signals[0]
        if late:
            what = f"killing {', '.join(late)}, which did not leave in time"
            self._say(what)
            self.failure = Failure(what, code)
        return code

    def _ended(self) -> dict[str, tuple[int, int]]:
        """(time in ns, code) of each worker that ended; one that vanished without a note was killed with SIGKILL."""
        ended = {}
        for name in self.names:
            exit_file, pid_file = self.state / f"{name}.exit", self.state / f"{name}.pid"
            vanished = pid_file.exists() and not is_alive(int(pid_file.read_text().split()[0]))
            if exit_file.exists():  # looked at after the process, so that its last note is not missed
                moment, code = exit_file.read_text().split()
                ended[name] = (int(moment), int(code))
            elif vanished:
                ended[name] = (time.time_ns(), -signal.SIGKILL)
        return ended

    def _report_failure(self, follower: Follower | None) -> int:
        bad = {name: end for name, end in self._ended().items() if end[1]}
        first = min(bad, key=lambda name: bad[name])
        code = bad[first][1]
        how = f"was ended by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        log = self.logs / f"{first}.log"
        what = f"{first} {how}, so all workers are stopped"
        if follower:
            follower.copy(everything=True)
        if follower and first == worker.name_of(0):  # its end has just been shown
            self._say(f"{what}; its log is {log}")
        else:
            self._say(_with_log(what, log))
        self.failure = Failure(f"{first} {how}", return_code(code))
        return self.failure.code

    def _trouble(self, process: subprocess.Popen[bytes], ended: Mapping[str, object]) -> str | None:
        """What keeps the workers from ever coming to an end, if anything does."""
        scheduler_log, msrun_log = self.logs / "scheduler.log", self.logs / "msrun.log"
        scheduler = self.state / f"{worker.SCHEDULER}.exit"
        if scheduler.exists() and scheduler.read_text().split()[1] != "0" and not ended:
            return _with_log("MindSpore's scheduler failed", scheduler_log)
        if process.poll() is not None and len(ended) < len(self.names):
            return _with_log("msrun ended before the workers", msrun_log)
        return None

    def _ask_to_leave(self) -> None:
        self._say(
            f"{signal.Signals(self.signals[0]).name}: asking the workers to save and leave, for at most "
            f"{self.grace_seconds:.0f} s; a second signal kills them"
        )
        for name in self.names:
            try:
                os.kill(int((self.state / f"{name}.pid").read_text().split()[0]), signal.SIGTERM)
            except (FileNotFoundError, ProcessLookupError):
                continue

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        def heed(number: int, frame: FrameType | None) -> None:
            self.signals.append(number)

        if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
            yield
            return
        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
        before = {number: signal.signal(number, heed) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _say(self, text: str) -> None:
        show(self.terminal, f"[launch] {text}\n")


def _with_log(what: str, log: Path) -> str:
    return f"{what}. The end of {log}:\n{last_lines(log)}"
