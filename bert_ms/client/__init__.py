"""Asks a server (`bert-ms serve`): `bert_ms.Client(url)`; needs neither MindSpore nor the server's packages."""

from __future__ import annotations

from bert_ms.client.calls import Client
from bert_ms.client.transport import ServerError

__all__ = ["Client", "ServerError"]
