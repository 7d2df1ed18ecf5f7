"""Read PyTorch's .bin, .pt and .pth files without PyTorch, the zip archives of today and the pickles of before 1.6.

Source: torch/serialization.py. A zip archive holds `NAME/data.pkl` and each storage, uncompressed, as
`NAME/data/KEY`. An older file is a row of pickles (a magic number, a version, sizes of the writer's types, the
objects, the keys of the storages in order), then for each storage how many numbers it has (8 bytes) and the numbers.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bert_ms.checkpoint.readers import opcodes
from bert_ms.checkpoint.weights import STORED_TYPES, Entry, Weights, entry_in_file
from bert_ms.errors import CheckpointError

MAX_PICKLE_BYTES = 256 << 20
MAX_LIST_BYTES = 16 << 20
MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
# Where training scripts put the parameters, beside an optimiser's state and counters.
INNER = ("state_dict", "model_state_dict", "model", "module", "net", "network")

_MAGIC_BYTES = b"\x8a\x0a" + MAGIC.to_bytes(10, "little")
_LOCAL_HEADER = b"PK\x03\x04"
_LOCAL_HEADER_BYTES = 30
_TEXT_TYPES = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class _Place:
    """Where something is in the file: offset and size in bytes."""

    offset: int
    size: int


def recognises_zip(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` is a zip archive whose first member is PyTorch's pickle."""
    name = head[_LOCAL_HEADER_BYTES : _LOCAL_HEADER_BYTES + int.from_bytes(head[26:28], "little")]
    return head.startswith(_LOCAL_HEADER) and (name == b"data.pkl" or name.endswith(b"/data.pkl"))


def recognises_legacy(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` is a pickle of PyTorch's magic number."""
    return head[:1] == b"\x80" and _MAGIC_BYTES in head[:32]


def read_zip(path: Path) -> Weights:
    """The tensors of a zip archive of PyTorch.

    Raises:
        CheckpointError: the archive is damaged or compressed, its pickle asks for more than tensors, or a tensor does
            not fit its storage.
    """
    members = _members(path)
    prefix = next(name for name in members if name.endswith("data.pkl")).removesuffix("data.pkl")
    with path.open("rb") as file:
        order = members.get(f"{prefix}byteorder")
        if order and file.seek(order.offset) >= 0 and file.read(16)[: order.size] == b"big":
            raise CheckpointError(f"{path} was written by a big-endian machine, whose numbers are not read.")
        pickle = members[f"{prefix}data.pkl"]
        if pickle.size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"{path} has a pickle of {pickle.size} bytes; at most {MAX_PICKLE_BYTES} are read.")
        file.seek(pickle.offset)
        described = opcodes.run(path, io.BytesIO(file.read(pickle.size)))  # nothing of what follows the member
    places = {name.removeprefix(f"{prefix}data/"): place for name, place in members.items()}
    return _weights(path, described.value, places)


def read_legacy(path: Path) -> Weights:
    """The tensors of a PyTorch file of before version 1.6.

    Raises:
        CheckpointError: as `read_zip`.
    """
    with path.open("rb") as file:
        if opcodes.run(path, file).value != MAGIC:
            raise CheckpointError(f"{path} is damaged: it does not begin with PyTorch's magic number.")
        if opcodes.run(path, file).value != VERSION:
            raise CheckpointError(f"{path} has another version than {VERSION} of PyTorch's old format.")
        system = opcodes.run(path, file).value
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise CheckpointError(f"{path} was written by a big-endian machine, whose numbers are not read.")
        described = opcodes.run(path, file)
        places = _places(path, file, opcodes.run(path, file).value, described.storages)
    return _weights(path, described.value, places)


class _ShortReads(io.FileIO):
    """A file that refuses to give a list of members larger than any network's."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_LIST_BYTES:
            raise ValueError(f"its list of members has {size} bytes, more than {MAX_LIST_BYTES}")
        return super().read(-1 if size is None else size)


def _members(path: Path) -> dict[str, _Place]:
    """Offset and size in bytes of each member of an archive, all of them stored as they are."""
    size = os.path.getsize(path)
    try:
        with _ShortReads(path) as opened, zipfile.ZipFile(opened) as archive:
            listed = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path} is cut or damaged: {error}. Copy or download it again.") from None
    members: dict[str, _Place] = {}
    with path.open("rb") as file:
        for info in listed:
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
                raise CheckpointError(
                    f"{path} is a compressed archive ('{info.filename}' is {info.compress_size} bytes that unpack to "
                    f"{info.file_size}), which PyTorch does not write; it is not unpacked. Was it packed again?"
                )
            if info.filename in members:
                raise CheckpointError(f"{path} is damaged: its member '{info.filename}' appears twice.")
            begin = _content_of(path, file, info)
            if begin + info.file_size > size:
                raise CheckpointError(
                    f"{path} is cut or damaged: '{info.filename}' claims {info.file_size} bytes from byte {begin} on, "
                    f"but the file has {size}. Copy or download it again."
                )
            members[info.filename] = _Place(begin, info.file_size)
    if sum(member.size for member in members.values()) > size:
        raise CheckpointError(f"{path} is damaged: its members overlap.")
    if not any(name.endswith("data.pkl") for name in members):
        raise CheckpointError(f"{path} is a zip archive without data.pkl: it was not written by PyTorch.")
    return members


def _content_of(path: Path, file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin, by the header that stands before them."""
    file.seek(max(info.header_offset, 0))
    header = file.read(_LOCAL_HEADER_BYTES)
    if len(header) < _LOCAL_HEADER_BYTES or not header.startswith(_LOCAL_HEADER) or info.header_offset < 0:
        raise CheckpointError(f"{path} is damaged: '{info.filename}' is not where its list of members says.")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + _LOCAL_HEADER_BYTES + lengths


def _places(path: Path, file: BinaryIO, keys: Any, storages: Mapping[str, opcodes.Storage]) -> dict[str, _Place]:
    """The storages that follow the pickles, in the order of their keys."""
    if not isinstance(keys, list) or not all(isinstance(key, (str, int)) for key in keys):
        raise CheckpointError(f"{path} is damaged: it does not list its storages.")
    size = os.path.getsize(path)
    at = file.tell()
    places: dict[str, _Place] = {}
    for key in map(str, keys):
        if key not in storages or key in places:
            raise CheckpointError(f"{path} is damaged: it lists a storage '{key}' of no tensor, or lists it twice.")
        file.seek(at)
        nbytes = int.from_bytes(file.read(8), "little") * STORED_TYPES[storages[key].dtype].itemsize
        begin, at = at + 8, at + 8 + nbytes
        if at > size:
            raise CheckpointError(
                f"{path} is cut or damaged: its storage '{key}' ends at byte {at}, but the file has {size}. "
                f"Copy or download it again."
            )
        places[key] = _Place(begin, nbytes)
    return places


def _tensors(path: Path, content: Any) -> tuple[dict[str, opcodes.Tensor], dict[str, str]]:
    """The named tensors of what a pickle describes, and the counters and texts beside them."""
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}: expected a mapping of names to tensors.")
    texts: dict[str, str] = {}
    inner = next((content[key] for key in INNER if isinstance(content.get(key), dict)), None)
    if inner is not None and not any(isinstance(value, opcodes.Tensor) for value in content.values()):
        texts = {str(key): str(value) for key, value in content.items() if isinstance(value, _TEXT_TYPES)}
        content = inner
    tensors: dict[str, opcodes.Tensor] = {}
    for name, value in content.items():
        if isinstance(value, opcodes.Tensor):
            tensors[str(name)] = value
        elif isinstance(value, _TEXT_TYPES):
            texts[str(name)] = str(value)
        else:
            raise CheckpointError(f"{path}: '{name}' is a {type(value).__name__}: save the state_dict alone.")
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors; it begins with: {', '.join(map(str, list(content)[:5]))}.")
    return tensors, texts


def _weights(path: Path, content: Any, places: Mapping[str, _Place]) -> Weights:
    tensors, texts = _tensors(path, content)
    entries = {name: _entry(path, name, tensor, places) for name, tensor in tensors.items()}
    return Weights(entries=entries, format="PyTorch", files=(path,), texts=texts)


def _entry(path: Path, name: str, tensor: opcodes.Tensor, places: Mapping[str, _Place]) -> Entry:
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    count = prod(shape)
    itemsize = STORED_TYPES[storage.dtype].itemsize
    place = places.get(storage.key)
    needed = (storage.begin + storage.size) * itemsize
    if place is None or needed > place.size:
        there = "is not in the file" if place is None else f"has only {place.size}"
        raise CheckpointError(
            f"{path} is cut or damaged: '{name}' needs {needed} bytes of a storage '{storage.key}', which {there}."
        )
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if count else 0
    if tensor.begin + span > storage.size or count > storage.size:
        raise CheckpointError(
            f"{path}: '{name}' has the shape {list(shape)} and the strides {list(strides)} from {tensor.begin} on, "
            f"which its storage of {storage.size} numbers does not hold."
        )
    offset = place.offset + (storage.begin + tensor.begin) * itemsize
    if strides == _contiguous(shape) or count <= 1:
        return entry_in_file(path, dtype=storage.dtype, shape=shape, parts=((offset, count * itemsize),))
    row = entry_in_file(path, dtype=storage.dtype, shape=(span,), parts=((offset, span * itemsize),))

    def read() -> np.ndarray:
        steps = tuple(stride * itemsize for stride in strides)
        view = np.lib.stride_tricks.as_strided(row.read(), shape, steps)
        return view if span == count else view.copy(order="C")  # the same numbers turned need no second copy

    return Entry(shape=shape, dtype=storage.dtype, read=read)


def _contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
