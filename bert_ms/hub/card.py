"""MindSpore Hub's model cards: a YAML header between two lines of `---`, then text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bert_ms.errors import DataError

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Asset:
    """A file that a card offers: its name (it lies beside the card) and its sha256, if that is known."""

    file_name: str
    sha256: str | None


@dataclass(frozen=True)
class Card:
    """What loading needs of a card.

    Attributes:
        name: the model's name, lower-case, as `create_network` gets it.
        repository: name of the directory, beside the card, with mindspore_hub_conf.py.
        assets: checkpoints.
    """

    name: str
    repository: str
    assets: tuple[Asset, ...]


def read(path: Path) -> Card:
    """A card from disk.

    Raises:
        DataError: it has no valid header.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} has more than {MAX_BYTES} bytes: it is no model card.")
        header = _header(path.read_text(encoding="utf-8"))
        values = yaml.safe_load(header)
        assets = tuple(_asset(item) for item in values.get("asset") or () if item.get("file-format") == "ckpt")
        return Card(str(values["model-name"]).lower(), _last_part(values["repo-link"]), assets)
    except (UnicodeDecodeError, yaml.YAMLError, KeyError, AttributeError, TypeError) as error:
        raise DataError(f"{path} is no model card: {type(error).__name__} {error}.") from None


def content(path: Path) -> tuple[Mapping[str, Any], str]:
    """The header of a card, and its text.

    Raises:
        DataError: it has no valid header.
    """
    read(path)  # says what is wrong with it
    parts = path.read_text(encoding="utf-8").split("\n---\n")
    return yaml.safe_load(parts[1]), parts[2].strip("\n")


def beside(directory: Path) -> Iterator[Card]:
    """Cards whose network definition is in `directory`: they lie in the directory above it."""
    for path in sorted(directory.parent.glob("*.md")):
        try:
            card = read(path)
        except DataError:
            continue  # a README, say
        if card.repository == directory.name:
            yield card


def write(path: Path, header: Mapping[str, Any], *, title: str, body: str) -> None:
    """Write a card; the hub reads exactly two lines of `---`, so that the body may have none."""
    text = yaml.safe_dump(dict(header), sort_keys=False, allow_unicode=True, width=1000)
    lines = [line if not line.startswith("---") else f" {line}" for line in body.splitlines()]
    path.write_text(f"# {title}\n\n---\n\n{text}\n---\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _header(text: str) -> str:
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith("---"):
            parts.append([])
        else:
            parts[-1].append(line)
    if len(parts) != 3:
        raise KeyError("two lines of ---")
    return "\n".join(parts[1])


def _asset(item: Mapping[str, Any]) -> Asset:
    digest = item.get("asset-sha256")
    return Asset(_last_part(item["asset-link"]), str(digest) if digest else None)


def _last_part(link: str) -> str:
    return link.strip("<>").rsplit("/", 1)[-1]
