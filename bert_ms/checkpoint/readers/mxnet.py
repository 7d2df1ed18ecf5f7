"""Read MXNet's .params files, which GluonNLP saves, without MXNet: a list of arrays, then a list of their names.

Source: MXNet 1.9, src/ndarray/ndarray.cc (NDArray::Save and Load, LegacyLoad). All numbers are little-endian.
"""

from __future__ import annotations

import os
import struct
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from bert_ms.checkpoint.weights import STORED_TYPES, Entry, Weights, entry_in_file
from bert_ms.errors import CheckpointError

MAGIC = (0x112).to_bytes(8, "little") + bytes(8)  # kMXAPINDArrayListMagic, and eight reserved bytes
MAX_TENSORS = 1_000_000
MAX_NAME_BYTES = 4096
MAX_RANK = 16

# What an array begins with, by version; before these it began with its number of axes.
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
# type_flag of mshadow -> our stored type.
TYPES = (
    "float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool", "int16", "uint16", "uint32", "uint64",
    "bfloat16",
)  # fmt: skip


def recognises(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` is a list of arrays."""
    return head.startswith(MAGIC)


def read(path: Path) -> Weights:
    """The arrays of a .params file by their names.

    Raises:
        CheckpointError: the file is cut, an array is sparse or of an unknown type, or the names do not fit the arrays.
    """
    with path.open("rb") as file:
        entries = _List(path, file).entries()
    return Weights(entries=entries, format="MXNet .params", files=(path,))


class _List:
    """Walks one file; every length is checked against the bytes that are there before it is used."""

    def __init__(self, path: Path, file: BinaryIO):
        self.path = path
        self.file = file
        self.size = os.path.getsize(path)

    def entries(self) -> dict[str, Entry]:
        """The arrays by name."""
        self.file.seek(len(MAGIC))
        arrays = [self._array() for _ in range(self._count("arrays"))]
        names = [self._name() for _ in range(self._count("names"))]
        if len(names) != len(arrays):
            raise CheckpointError(
                f"{self.path} has {len(arrays)} arrays and {len(names)} names: it needs one for each."
            )
        if len(set(names)) != len(names):
            raise CheckpointError(f"{self.path} is damaged: a name appears twice among {names[:5]}...")
        rest = self.size - self.file.tell()
        if rest:
            raise CheckpointError(f"{self.path} is damaged: {rest} bytes follow the last name.")
        return dict(zip(names, arrays, strict=True))

    def _array(self) -> Entry:
        magic = self._number("<I")
        if magic in (_V2, _V3):
            kind = self._number("<i")
            if kind != 0:
                raise CheckpointError(f"{self.path} holds a sparse array (kind {kind}), which no BERT network has.")
        is_named = magic in (_V1, _V2, _V3)
        rank = self._number("<I") if is_named else magic
        if rank > MAX_RANK:
            raise self._damaged(f"an array with {rank} axes")
        shape = tuple(self._number("<q" if is_named else "<I") for _ in range(rank))
        if any(size < 0 for size in shape) or (rank == 0 and magic != _V3):
            raise self._damaged(f"an array of the shape {list(shape)}")
        self._number("<q")  # the device it was on
        flag = self._number("<i")
        if not 0 <= flag < len(TYPES):
            raise self._damaged(f"an array of the unknown type {flag}")
        dtype = TYPES[flag]
        begin, length = self.file.tell(), prod(shape) * STORED_TYPES[dtype].itemsize
        self._check(length)
        self.file.seek(begin + length)
        return entry_in_file(self.path, dtype=dtype, shape=shape, parts=((begin, length),))

    def _name(self) -> str:
        length = self._number("<Q")
        if length > MAX_NAME_BYTES:
            raise self._damaged(f"a name of {length} bytes")
        self._check(length)
        try:
            return self.file.read(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self._damaged("a name that is not UTF-8") from None

    def _count(self, what: str) -> int:
        count = self._number("<Q")
        if count > MAX_TENSORS:
            raise self._damaged(f"{count} {what}")
        return count

    def _number(self, layout: str) -> Any:
        self._check(struct.calcsize(layout))
        return struct.unpack(layout, self.file.read(struct.calcsize(layout)))[0]

    def _check(self, length: int) -> None:
        left = self.size - self.file.tell()
        if length > left:
            raise CheckpointError(
                f"{self.path} is cut or damaged: at byte {self.file.tell()} {length} bytes should follow, but {left} "
                f"are left. Copy or download it again."
            )

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is damaged before byte {self.file.tell()}: found {what}. Copy or download it again."
        )
