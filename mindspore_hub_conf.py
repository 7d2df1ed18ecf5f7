"""The entry point that `mindspore_hub.load` looks for; `bert_ms.hub.mindspore_hub` does the work."""

from pathlib import Path
from typing import Any

from bert_ms.hub import mindspore_hub


def create_network(name: str, *args: Any, **kwargs: Any) -> Any:
    """The network that the card `name` describes, ready to be filled from the card's checkpoint."""
    return mindspore_hub.create_network(name, *args, directory=Path(__file__).resolve().parent, **kwargs)
