"""The call of msrun, MindSpore's own launcher: its options, and the environment that it and its workers need."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.errors import ConfigError
from bert_ms.training import worker
from bert_ms.training.cluster import Cluster

BIND_CORE = "BERT_MS_BIND_CORE"
_SWITCH = {"": False, "0": False, "false": False, "1": True, "true": True}
_MSRUN = "mindspore.parallel.cluster.run"  # the module behind the msrun script
# How long a CPU worker waits for the others in a collective. MindSpore gives up after 30 s; rank 0 may need longer to
# save or to score; a worker that dies is seen by the launcher, not by this.
_PATIENCE_SECONDS = "1800"
_NO_WORKER = "999999"  # a rank whose log msrun may show: none, as we show rank 0's


def binds_cores(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment asks for workers that are bound to cores of their own.

    Raises:
        ConfigError: it says neither yes nor no.
    """
    given = (os.environ if environ is None else environ).get(BIND_CORE, "")
    if given.lower() not in _SWITCH:
        raise ConfigError(f"{BIND_CORE} is '{given}': expected 1 or 0.", source="environment")
    return _SWITCH[given.lower()]


def command_line(
    cluster: Cluster, port: int, logs: Path, command: Sequence[str], *, bind_core: bool, timeout: int
) -> list[str]:
    """msrun with its options, starting `command` in each worker.

    Args:
        cluster: the machines.
        port: of MindSpore's scheduler.
        logs: folder of the logs.
        command: program with its arguments.
        bind_core: have each worker bound to cores of its own.
        timeout: seconds that the workers wait for each other at the start.
    """
    flags: dict[str, Any] = {
        "worker_num": cluster.workers,
        "local_worker_num": cluster.local_workers,
        "master_addr": cluster.master_address,
        "master_port": port,
        "node_rank": cluster.node_rank,
        "log_dir": logs,
        "join": True,
        "cluster_time_out": timeout,
        "bind_core": bind_core,
        "tail_worker_log": _NO_WORKER,
    }
    if cluster.rank_table:
        flags["rank_table_file"] = cluster.rank_table
    given = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", _MSRUN, *given, "python", "-m", worker.__name__, *command]


def environment(given: Mapping[str, str], cluster: Cluster, *, state: Path, mark: str) -> dict[str, str]:
    """`given`, and what msrun and its workers need: `python` that is this one, this package, a mark to find them by.

    Args:
        given: wins where MindSpore's own settings are concerned.
        cluster: the machines.
        state: a folder of this launch alone.
        mark: a name of this launch alone.
    """
    programs = state / "bin"
    programs.mkdir()
    python = programs / "python"  # the name that msrun starts
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    package_parent = str(Path(worker.__file__).resolve().parents[2])
    return {
        "GLOG_v": "3",
        "MS_NODE_TIMEOUT": _PATIENCE_SECONDS,
        **given,
        "PATH": os.pathsep.join((str(programs), given.get("PATH", os.defpath))),
        "PYTHONPATH": os.pathsep.join(filter(None, (package_parent, given.get("PYTHONPATH")))),
        "PYTHONUNBUFFERED": "1",
        worker.STATE: str(state),
        worker.LAUNCHER: str(os.getpid()),
        worker.MARK: mark,
        worker.THREADS: str(max(1, _cores() // cluster.local_workers)) if cluster.local_workers > 1 else "",
    }


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
