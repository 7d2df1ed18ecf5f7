"""The small JSON file that `save` puts beside weights: which file they are in, their names' origin, checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bert_ms.errors import CheckpointError

FILE_NAME = "bert_ms.json"
VERSION = 1
MAX_BYTES = 8 << 20


@dataclass(frozen=True)
class Manifest:
    """What was saved.

    Attributes:
        weights: name of the weights file.
        format: as given to `save`: mindspore, safetensors, modelzoo or tf1.
        sha256: hexadecimal digest of each file by name.
        config: the configuration, only where there is no config.json (a single file was asked for).
        task: what the network is for, if that is known.
        bert_ms_version: of the package that wrote it.
        version: of this file's layout.
    """

    weights: str
    format: str
    sha256: Mapping[str, str]
    config: Mapping[str, Any] | None = None
    task: str | None = None
    bert_ms_version: str = ""
    version: int = VERSION

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def verify(self, file: Path) -> None:
        """Check a file against its digest.

        Raises:
            CheckpointError: it has another content than was saved.
        """
        expected = self.sha256.get(file.name)
        if expected is not None and sha256(file) != expected:
            own = beside(file.with_name(self.weights))
            name = own.name if own.is_file() else FILE_NAME
            raise CheckpointError(
                f"{file} is not what was saved: its sha256 differs from the one in {name} beside it. "
                f"Copy it again; if it was changed on purpose, delete {name}."
            )


def beside(file: Path) -> Path:
    """Where the manifest of a single weights file is."""
    return file.with_name(file.name + ".json")


def read(path: Path) -> Manifest:
    """A manifest from disk.

    Raises:
        CheckpointError: it is no manifest, or one of a newer layout.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["version"] > VERSION:
            raise CheckpointError(f"{path} has layout {values['version']}, newer than {VERSION}: upgrade bert_ms.")
        known = {key: values[key] for key in Manifest.__dataclass_fields__ if key in values}
        result = Manifest(**known)
        if not isinstance(result.weights, str) or not isinstance(result.sha256, dict):
            raise ValueError("weights or sha256 has a wrong type")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path} is no manifest of bert_ms ({error}): delete it to do without.") from None
    return result


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
