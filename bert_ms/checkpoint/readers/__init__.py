"""File formats, recognised from their first bytes; adding one is adding a row here."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bert_ms.checkpoint.readers import foreign, mindspore, mxnet, safetensors, sparse, sstable, tensorflow, torch
from bert_ms.checkpoint.weights import Weights
from bert_ms.errors import CheckpointError

HEAD_BYTES = 512


@dataclass(frozen=True)
class Format:
    """A file format that can be read.

    Attributes:
        name: for reports.
        recognises: whether a file with these first bytes (up to HEAD_BYTES) and this size is one.
        ending: last bytes of every such file, where the first ones do not tell.
        read: checks the file's structure and gives its tensors, unread.
    """

    name: str
    recognises: Callable[[bytes, int], bool]
    read: Callable[[Path], Weights]
    ending: bytes = b""


FORMATS: tuple[Format, ...] = (
    Format("safetensors", safetensors.recognises, safetensors.read),
    Format("MindSpore .ckpt", mindspore.recognises, mindspore.read),
    Format("MXNet .params", mxnet.recognises, mxnet.read),
    Format("PyTorch", torch.recognises_zip, torch.read_zip),
    Format("PyTorch", torch.recognises_legacy, torch.read_legacy),
    Format("TensorFlow checkpoint", tensorflow.recognises, tensorflow.read, ending=sstable.MAGIC),
)

NAMES = tuple(dict.fromkeys(found.name for found in FORMATS))


def sniff(path: Path) -> Format | None:
    """The format of a file by its content, or None if it is none that can be read here."""
    head, size = _head(path)
    return next((f for f in FORMATS if f.recognises(head, size) and _ends_with(path, f.ending)), None)


def read_file(path: Path) -> Weights:
    """The tensors of one file in any format that is known.

    Raises:
        CheckpointError: the file is empty, sparse, of another format, or broken.
    """
    found = sniff(path)
    if found is None:
        raise CheckpointError(foreign.explain(path, *_head(path), supported=NAMES))
    sparse.refuse(path)
    weights = found.read(path)
    for shard in weights.files[1:]:
        sparse.refuse(shard)
    return weights


def _ends_with(path: Path, ending: bytes) -> bool:
    if not ending:
        return True
    with path.open("rb") as file:
        file.seek(-len(ending), os.SEEK_END)
        return file.read() == ending


def _head(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES), path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
