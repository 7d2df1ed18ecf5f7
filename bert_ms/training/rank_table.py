"""Reading an Ascend rank table: which devices of which servers have which ranks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bert_ms.errors import ConfigError


def read(path: Path) -> list[dict[str, Any]]:
    """The servers of a rank table, each with its "server_id" and its list "device".

    Raises:
        ConfigError: it cannot be read, is no JSON, or is no rank table.

    Source: MindSpore's tutorial "rank table Startup" for the layout.
    """
    source = f"rank table {path}"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror}): RANK_TABLE_FILE must name a file on this machine."
        raise ConfigError(problem, source=source) from None
    except ValueError as error:
        raise ConfigError(f"is not JSON ({error}).", source=source) from None
    servers: Any = table.get("server_list") if isinstance(table, dict) else None
    if not (servers and isinstance(servers, list) and all(_is_server(server) for server in servers)):
        raise ConfigError(
            'has no "server_list" of objects that each hold a "server_id" and a list "device" of objects with '
            '"device_id", "device_ip" and "rank_id".',
            source=source,
        )
    count = str(table.get("server_count", len(servers)))
    if count != str(len(servers)):
        raise ConfigError(f"says server_count {count} but lists {len(servers)} servers.", source=source)
    for number, server in enumerate(servers):
        missing = sorted({key for device in server["device"] for key in ("device_id", "rank_id") if key not in device})
        if "server_id" not in server:
            missing.insert(0, "server_id")
        if missing or not server["device"]:
            raise ConfigError(f"server {number} lacks {', '.join(missing) or 'devices'}.", source=source)
    return servers


def _is_server(server: object) -> bool:
    devices = server.get("device") if isinstance(server, dict) else None
    return isinstance(devices, list) and all(isinstance(device, dict) for device in devices)
