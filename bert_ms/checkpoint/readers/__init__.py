"""File formats, recognised from their first bytes; adding one is adding a row here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bert_ms.checkpoint.readers import foreign, mindspore, safetensors, torch
from bert_ms.checkpoint.weights import Weights
from bert_ms.errors import CheckpointError

HEAD_BYTES = 512


@dataclass(frozen=True)
class Format:
    """A file format that can be read.

    Attributes:
        name: for reports.
        recognises: whether a file with these first bytes (up to HEAD_BYTES) and this size is one.
        read: checks the file's structure and gives its tensors, unread.
    """

    name: str
    recognises: Callable[[bytes, int], bool]
    read: Callable[[Path], Weights]


FORMATS: tuple[Format, ...] = (
    Format("safetensors", safetensors.recognises, safetensors.read),
    Format("MindSpore .ckpt", mindspore.recognises, mindspore.read),
    Format("PyTorch", torch.recognises_zip, torch.read_zip),
    Format("PyTorch", torch.recognises_legacy, torch.read_legacy),
)

NAMES = tuple(dict.fromkeys(found.name for found in FORMATS))


def sniff(path: Path) -> Format | None:
    """The format of a file by its content, or None if it is none that can be read here."""
    head, size = _head(path)
    return next((f for f in FORMATS if f.recognises(head, size)), None)


def read_file(path: Path) -> Weights:
    """The tensors of one file in any format that is known.

    Raises:
        CheckpointError: the file is empty, sparse, of another format, or broken.
    """
    found = sniff(path)
    if found is None:
        raise CheckpointError(foreign.explain(path, *_head(path), supported=NAMES))
    return found.read(path)


def _head(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES), path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
