"""Launchers of several machines, here two or three in one process, hearing of each other's end."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from bert_ms.training.cluster import Cluster
from bert_ms.training.peers import Failure, Peers


@pytest.fixture
def machines() -> Iterator[list[Peers]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1] - 1
    made = [
        Peers(Cluster(local_workers=1, nodes=3, node_rank=rank, master_address="127.0.0.1", master_port=9000), port)
        for rank in range(3)
    ]
    for _ in range(20):
        assert all(peers.poll() is None for peers in made)
        time.sleep(0.01)
    yield made
    for peers in made:
        peers.part(None)


def heard(peers: Peers) -> Failure | None:
    """What the launcher hears within a second."""
    for _ in range(100):
        failure = peers.poll()
        if failure:
            return failure
        time.sleep(0.01)
    return None


def test_a_failure_reaches_machine_0_and_from_there_the_others(machines: list[Peers]) -> None:
    machines[1].part(Failure("worker_1 ended with code 3", 3))
    failure = heard(machines[0])
    assert failure == Failure("machine 1: worker_1 ended with code 3", 3)
    machines[0].part(failure)
    assert heard(machines[2]) == Failure("machine 0: machine 1: worker_1 ended with code 3", 3)


def test_a_launcher_that_is_killed_is_noticed(machines: list[Peers]) -> None:
    for connection in machines[2]._connections:
        connection.socket.close()
    failure = heard(machines[0])
    assert failure is not None
    assert failure.text == "machine 2 broke off; its launcher was killed"


def test_a_machine_that_is_done_ends_nobody_else(machines: list[Peers]) -> None:
    machines[1].part(None)
    assert heard(machines[0]) is None


def test_strangers_are_not_believed(machines: list[Peers]) -> None:
    with socket.create_connection(("127.0.0.1", machines[0]._port)) as stranger:
        stranger.sendall(b"failed 1 nonsense\n\xff\xfe\n")
        assert heard(machines[0]) is None
    assert heard(machines[0]) is None


def test_one_machine_listens_to_nobody() -> None:
    peers = Peers(Cluster(local_workers=2), 9000)
    assert peers.poll() is None
    peers.part(None)
