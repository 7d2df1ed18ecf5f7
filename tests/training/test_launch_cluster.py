"""Which workers a run has: what the environment and rank tables say, and what is refused."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import ConfigError, DeviceError
from bert_ms.training.cluster import (
    Cluster,
    check_ascend_devices,
    choose_port,
    from_environment,
    local_addresses,
    spans_machines,
)
from bert_ms.training.msrun import binds_cores

SEVERAL = {
    "BERT_MS_NODES": "2",
    "BERT_MS_NODE_RANK": "1",
    "BERT_MS_MASTER_ADDR": "10.0.0.1",
    "BERT_MS_MASTER_PORT": "9000",
}


def table(*servers: tuple[str, int], **changes: Any) -> dict[str, Any]:
    """A rank table of servers, each an address with a number of devices."""
    ranks = iter(range(100))
    return {
        "version": "1.0",
        "server_count": str(len(servers)),
        "server_list": [
            {"server_id": address, "device": [{"device_id": str(i), "rank_id": str(next(ranks))} for i in range(count)]}
            for address, count in servers
        ],
        "status": "completed",
        **changes,
    }


def written(path: Path, content: object) -> dict[str, str]:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return {"RANK_TABLE_FILE": str(path)}


def test_without_variables_the_workers_are_all_here() -> None:
    cluster = from_environment(2, environ={})
    assert cluster == Cluster(local_workers=2)
    assert (cluster.workers, cluster.first_rank) == (2, 0)


def test_several_machines_come_from_the_environment() -> None:
    cluster = from_environment(4, environ=SEVERAL)
    assert cluster == Cluster(local_workers=4, nodes=2, node_rank=1, master_address="10.0.0.1", master_port=9000)
    assert (cluster.workers, cluster.first_rank) == (8, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BERT_MS_NODE_RANK": ""}, "BERT_MS_NODES is 2, but BERT_MS_NODE_RANK is not set"),
        ({"BERT_MS_MASTER_ADDR": ""}, "BERT_MS_NODES is 2, but BERT_MS_MASTER_ADDR is not set"),
        ({"BERT_MS_NODE_RANK": "2"}, "BERT_MS_NODE_RANK is 2: expected 0 to 1, as BERT_MS_NODES is 2"),
        ({"BERT_MS_NODES": "two"}, "BERT_MS_NODES is 'two': expected a whole number"),
        ({"BERT_MS_MASTER_PORT": "80"}, "BERT_MS_MASTER_PORT is 80: expected 1024 to 65535"),
    ],
)
def test_what_makes_no_sense_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_environment(4, environ={**SEVERAL, **changes})


def test_a_rank_table_gives_machines_and_ranks(tmp_path: Path) -> None:
    here = next(address for address in sorted(local_addresses()) if address.startswith("127."))
    environ = written(tmp_path / "table.json", table(("10.9.9.9", 4), (here, 4)))
    cluster = from_environment(4, device="ascend", environ=environ)
    assert (cluster.nodes, cluster.node_rank, cluster.first_rank) == (2, 1, 4)
    assert cluster.master_address == "10.9.9.9"
    assert cluster.rank_table == tmp_path / "table.json"


def test_a_rank_table_is_for_ascend_alone(tmp_path: Path) -> None:
    assert from_environment(2, device="cpu", environ=written(tmp_path / "t.json", "{")) == Cluster(local_workers=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", 'has no "server_list"'),
        ({"server_list": [{"server_id": "10.0.0.1"}]}, 'has no "server_list" of objects'),
        (table(("10.0.0.1", 2), server_count="3"), "says server_count 3 but lists 1 servers"),
        ({"server_list": [{"server_id": "10.0.0.1", "device": [{"device_id": "0"}]}]}, "server 0 lacks rank_id"),
        (table(("10.0.0.1", 8)), "2 workers were asked for, but it lists 8 devices for this machine .server 10.0.0.1."),
        (table(("10.0.0.1", 2), ("10.0.0.2", 4)), "its servers have 2, 4 devices: expected the same number"),
        (table(("10.0.0.1", 2), ("10.0.0.2", 2)), r"0 of its servers .* have an address here: set BERT_MS_NODE_RANK"),
    ],
)
def test_a_wrong_rank_table_is_refused_by_name(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        from_environment(2, environ=written(tmp_path / "table.json", content))
    assert f"rank table {tmp_path / 'table.json'}" in str(error.value)


def test_several_machines_are_noticed(tmp_path: Path) -> None:
    assert not spans_machines(environ={})
    assert spans_machines(environ=SEVERAL)
    assert spans_machines(environ=written(tmp_path / "two.json", table(("10.0.0.1", 1), ("10.0.0.2", 1))))
    assert not spans_machines(environ=written(tmp_path / "one.json", table(("10.0.0.1", 8))))


def test_ranks_out_of_order_are_refused(tmp_path: Path) -> None:
    content = table(("10.0.0.1", 2))
    content["server_list"][0]["device"].reverse()
    with pytest.raises(ConfigError, match="its rank_id values read 1, 0: expected 0 to 1, in the order of the servers"):
        from_environment(2, environ=written(tmp_path / "table.json", content))


def test_a_rank_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.json: cannot be read .No such file"):
        from_environment(2, environ={"RANK_TABLE_FILE": str(tmp_path / "nowhere.json")})


def test_binding_to_cores_is_asked_for_by_the_environment() -> None:
    assert not binds_cores({})
    assert binds_cores({"BERT_MS_BIND_CORE": "1"})
    with pytest.raises(ConfigError, match="BERT_MS_BIND_CORE is 'perhaps': expected 1 or 0"):
        binds_cores({"BERT_MS_BIND_CORE": "perhaps"})


def test_a_port_in_use_is_told_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot meet at 127.0.0.1:{port}: Address already in use"):
            choose_port(Cluster(local_workers=2, master_port=port))


def test_a_free_port_is_picked() -> None:
    port = choose_port(Cluster(local_workers=2))
    assert 1024 <= port <= 65535


def test_an_unknown_master_is_named() -> None:
    with pytest.raises(ConfigError, match=r"BERT_MS_MASTER_ADDR 'no-such-host.invalid' cannot be resolved"):
        choose_port(Cluster(local_workers=2, master_address="no-such-host.invalid"))


def test_more_ascend_workers_than_devices_are_refused() -> None:
    with pytest.raises(DeviceError, match="100 Ascend workers were asked for, but this machine shows"):
        check_ascend_devices(Cluster(local_workers=100), environ={})
