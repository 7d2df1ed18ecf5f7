"""Which workers a run has and where they meet, read from the environment or from an Ascend rank table."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.errors import ConfigError, DeviceError
from bert_ms.training import rank_table

NODES = "BERT_MS_NODES"
NODE_RANK = "BERT_MS_NODE_RANK"
MASTER_ADDRESS = "BERT_MS_MASTER_ADDR"
MASTER_PORT = "BERT_MS_MASTER_PORT"
RANK_TABLE = "RANK_TABLE_FILE"  # MindSpore's own name

LOOPBACK = "127.0.0.1"
_DEFAULT_PORT = 8118  # msrun's own default; several machines must agree on one without talking to each other


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The machines of one run; every machine runs the same number of workers.

    Attributes:
        local_workers: worker processes on this machine, one a device.
        nodes: machines.
        node_rank: which of them this one is, from 0; its workers have the ranks from `node_rank * local_workers` on.
        master_address: address or name of machine 0, where MindSpore's scheduler listens.
        master_port: of the scheduler; None picks a free one, which only one machine alone can do.
        rank_table: an Ascend rank table that was checked; None on other devices, or where HCCL finds its own way.
    """

    local_workers: int
    nodes: int = 1
    node_rank: int = 0
    master_address: str = LOOPBACK
    master_port: int | None = None
    rank_table: Path | None = None

    @property
    def workers(self) -> int:
        """Worker processes on all machines."""
        return self.local_workers * self.nodes

    @property
    def first_rank(self) -> int:
        """Rank of this machine's first worker."""
        return self.node_rank * self.local_workers

    def __post_init__(self) -> None:
        problems = []
        if self.local_workers < 1:
            problems.append(f"{self.local_workers} workers were asked for: expected at least 1.")
        if self.nodes < 1:
            problems.append(f"{NODES} is {self.nodes}: expected at least 1.")
        elif not 0 <= self.node_rank < self.nodes:
            expected = f"0 to {self.nodes - 1}, as {NODES} is {self.nodes}"
            problems.append(f"{NODE_RANK} is {self.node_rank}: expected {expected}.")
        if self.nodes > 1 and self.master_port is None:
            problems.append(f"{self.nodes} machines need one port to meet at: set {MASTER_PORT} alike on all of them.")
        if self.master_port is not None and not 1024 <= self.master_port <= 65535:
            problems.append(f"{MASTER_PORT} is {self.master_port}: expected 1024 to 65535.")
        if problems:
            raise ConfigError(problems)


def from_environment(workers: int, *, device: str = "auto", environ: Mapping[str, str] | None = None) -> Cluster:
    """The cluster that the environment describes; without any of its variables, this machine alone.

    Args:
        workers: wanted on this machine, one a device.
        device: auto, cpu, gpu or ascend; a rank table counts for auto and ascend only.
        environ: os.environ, unless a test says otherwise.

    Raises:
        ConfigError: a variable that is no number, out of range or missing; a rank table that is not one, or does not
            hold `workers` devices for this machine.
    """
    environ = os.environ if environ is None else environ
    table = environ.get(RANK_TABLE)
    if table and device in ("auto", "ascend"):
        return from_rank_table(Path(table), workers=workers, environ=environ)
    problems: list[str] = []
    nodes = _number(environ, NODES, 1, problems)
    node_rank = _number(environ, NODE_RANK, 0, problems)
    port = _number(environ, MASTER_PORT, None, problems)
    address = environ.get(MASTER_ADDRESS)
    if nodes is not None and nodes > 1:
        for name in (NODE_RANK, MASTER_ADDRESS):
            if not environ.get(name):
                problems.append(f"{NODES} is {nodes}, but {name} is not set: every machine needs it.")
        port = _DEFAULT_PORT if port is None else port
    if problems:
        raise ConfigError(problems, source="environment")
    assert nodes is not None and node_rank is not None
    return Cluster(
        local_workers=workers, nodes=nodes, node_rank=node_rank, master_address=address or LOOPBACK, master_port=port
    )


def spans_machines(*, device: str = "auto", environ: Mapping[str, str] | None = None) -> bool:
    """Whether the environment, or its rank table, describes more machines than this one.

    Raises:
        ConfigError: a number that is none; a rank table that is none.
    """
    environ = os.environ if environ is None else environ
    table = environ.get(RANK_TABLE)
    if table and device in ("auto", "ascend"):
        return len(rank_table.read(Path(table))) > 1
    problems: list[str] = []
    nodes = _number(environ, NODES, 1, problems)
    if problems:
        raise ConfigError(problems, source="environment")
    return nodes != 1


def from_rank_table(path: Path, *, workers: int, environ: Mapping[str, str] | None = None) -> Cluster:
    """The cluster of an Ascend rank table in the layout "version 1.0" (server_list with device lists).

    This machine is the entry that BERT_MS_NODE_RANK names, the only one, or the one whose server_id is an address here.

    Args:
        path: the JSON file.
        workers: wanted on this machine.
        environ: os.environ, unless a test says otherwise.

    Raises:
        ConfigError: not JSON, not a rank table, ranks that are not 0 to n-1 in the order of the servers, servers of
            unequal size, or a number of devices other than `workers`.

    Source: MindSpore's tutorial "rank table Startup" for the layout.
    """
    environ = os.environ if environ is None else environ
    servers = rank_table.read(path)
    problems: list[str] = []
    sizes = [len(server["device"]) for server in servers]
    if len(set(sizes)) > 1:
        counts = ", ".join(map(str, sizes))
        problems.append(f"its servers have {counts} devices: expected the same number on every machine.")
    ranks = [str(device.get("rank_id")) for server in servers for device in server["device"]]
    if ranks != [str(rank) for rank in range(len(ranks))]:
        expected = f"0 to {len(ranks) - 1}, in the order of the servers"
        problems.append(f"its rank_id values read {', '.join(ranks)}: expected {expected}.")
    node_rank = _number(environ, NODE_RANK, None, problems)
    if node_rank is None:
        node_rank = _own_server(servers, problems)
    if not problems and 0 <= node_rank < len(servers) and sizes[node_rank] != workers:
        problems.append(
            f"{workers} workers were asked for, but it lists {sizes[node_rank]} devices for this machine "
            f"(server {servers[node_rank]['server_id']}): ask for {sizes[node_rank]}, or write a table for {workers}."
        )
    if not problems and not 0 <= node_rank < len(servers):
        expected = f"0 to {len(servers) - 1}"
        problems.append(f"{NODE_RANK} is {node_rank}, but it lists {len(servers)} servers: expected {expected}.")
    port = _number(environ, MASTER_PORT, None, problems)
    if problems:
        raise ConfigError(problems, source=f"rank table {path}")
    several = len(servers) > 1
    return Cluster(
        local_workers=workers,
        nodes=len(servers),
        node_rank=node_rank,
        master_address=environ.get(MASTER_ADDRESS) or (str(servers[0]["server_id"]) if several else LOOPBACK),
        master_port=_DEFAULT_PORT if several and port is None else port,
        rank_table=path.resolve(),
    )


def _own_server(servers: list[dict[str, Any]], problems: list[str]) -> int:
    if len(servers) == 1:
        return 0
    here = local_addresses()
    found = [number for number, server in enumerate(servers) if str(server["server_id"]) in here]
    if len(found) == 1:
        return found[0]
    named = ", ".join(str(server["server_id"]) for server in servers)
    problems.append(f"{len(found)} of its servers ({named}) have an address here: set {NODE_RANK} to say which it is.")
    return 0


def local_addresses() -> set[str]:
    """IP addresses of this machine."""
    import psutil  # comes with mindspore, whose msrun needs it

    return {address.address for addresses in psutil.net_if_addrs().values() for address in addresses}


def choose_port(cluster: Cluster) -> int:
    """A port that the scheduler can listen at, checked where this machine runs the scheduler.

    Raises:
        ConfigError: the port asked for is taken, or the address cannot be resolved.
    """
    try:
        address = socket.getaddrinfo(cluster.master_address, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        problem = f"{MASTER_ADDRESS} '{cluster.master_address}' cannot be resolved: {error.strerror or error}."
        raise ConfigError(problem) from None
    if cluster.node_rank > 0:
        assert cluster.master_port is not None
        return cluster.master_port
    with socket.socket(address[0], socket.SOCK_STREAM) as probe:
        # As MindSpore's own server does: a port that only lingers in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address[4][0], cluster.master_port or 0))
        except OSError as error:
            where = f"{cluster.master_address}:{cluster.master_port}"
            else_picked = "" if cluster.nodes > 1 else ", or leave it out to have one picked"
            raise ConfigError(
                f"the workers cannot meet at {where}: {error.strerror}. If another run has the port, set {MASTER_PORT} "
                f"to a free one{else_picked}."
            ) from None
        return int(probe.getsockname()[1])


def check_ascend_devices(cluster: Cluster, environ: Mapping[str, str] | None = None) -> None:
    """Refuse more workers than this machine shows Ascend devices (as /dev/davinci0, /dev/davinci1, ...).

    Raises:
        DeviceError: there are fewer.
    """
    environ = os.environ if environ is None else environ
    there = [entry.name for entry in Path("/dev").iterdir() if re.fullmatch(r"davinci\d+", entry.name)]
    visible = environ.get("ASCEND_RT_VISIBLE_DEVICES")
    count = min(len(there), len([d for d in visible.split(",") if d.strip()])) if visible else len(there)
    if count < cluster.local_workers:
        limit = f" (ASCEND_RT_VISIBLE_DEVICES={visible})" if visible else ""
        raise DeviceError(
            f"{cluster.local_workers} Ascend workers were asked for, but this machine shows {count} devices{limit}. "
            "Ask for as many as there are, or see `bert-ms doctor`."
        )


def _number(environ: Mapping[str, str], name: str, default: int | None, problems: list[str]) -> int | None:
    text = environ.get(name)
    if not text:
        return default
    if not re.fullmatch(r"\d+", text.strip()):
        problems.append(f"{name} is '{text}': expected a whole number.")
        return default
    return int(text)
