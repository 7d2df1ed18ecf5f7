"""Read MindSpore .ckpt files without MindSpore: a bounded parser of the few protobuf messages they are made of.

Source: mindspore/train/checkpoint.proto and serialization.py (2.10): `Checkpoint{repeated Value value = 1}`,
`Value{tag = 1, tensor = 2 | maptensor = 3}`,
`TensorProto{repeated int64 dims = 1, tensor_type = 2, tensor_content = 3}`.
A tensor above 512 MB is split over several Values of one tag; a checksum may end the file: "crc_num", then the CRC-32
as ten bytes, big-endian; a scalar is written with dims [0]; texts have the type "str" and hold UTF-32.
"""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from bert_ms.checkpoint.readers.protobuf import BYTES, VARINT, Messages
from bert_ms.checkpoint.weights import STORED_TYPES, Entry, Weights, entry_in_file
from bert_ms.errors import CheckpointError

MAX_VALUES = 1_000_000
MAX_RANK = 16
MAX_TEXT_BYTES = 64 << 20
CRC_MARK = b"crc_num"
CRC_BYTES = len(CRC_MARK) + 10

TYPES = {
    "Bool": "bool",
    "UInt8": "uint8",
    "Int8": "int8",
    "UInt16": "uint16",
    "Int16": "int16",
    "UInt32": "uint32",
    "Int32": "int32",
    "UInt64": "uint64",
    "Int64": "int64",
    "Float16": "float16",
    "BFloat16": "bfloat16",
    "Float32": "float32",
    "Float64": "float64",
}


def recognises(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` is a Checkpoint message: a Value that begins with its tag."""
    if len(head) < 6 or head[0] != 0x0A:
        return False
    tag = _after_varint(head, 1)
    name = _after_varint(head, tag + 1)
    return name < len(head) and head[tag] == 0x0A and head[tag + 1] > 0 and 0x20 <= head[name] < 0x7F


def _after_varint(head: bytes, at: int) -> int:
    while at < len(head) and head[at] & 0x80:
        at += 1
    return at + 1


def read(path: Path) -> Weights:
    """The tensors and texts of a MindSpore checkpoint.

    Raises:
        CheckpointError: the file is cut, a message is malformed, a tensor's size does not fit its shape, its type is
            not known, or the checksum at the end does not match.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tensors = _Parser(path, data).tensors()
        entries: dict[str, Entry] = {}
        texts: dict[str, str] = {}
        for tensor in tensors:
            if tensor.tag in entries or tensor.tag in texts:
                raise CheckpointError(f"{path} is damaged: '{tensor.tag}' appears twice.")
            if tensor.type == "str":
                texts[tensor.tag] = _text(path, data, tensor)
            else:
                entries[tensor.tag] = _entry(path, tensor)
    return Weights(entries=entries, format="MindSpore .ckpt", files=(path,), texts=texts)


@dataclass
class _Tensor:
    tag: str
    type: str
    dims: tuple[int, ...]
    parts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        return sum(length for _, length in self.parts)


def _entry(path: Path, tensor: _Tensor) -> Entry:
    dtype = TYPES.get(tensor.type)
    if dtype is None:
        raise CheckpointError(f"{path}: '{tensor.tag}' has the type {tensor.type!r}: {', '.join(TYPES)} can be read.")
    itemsize = STORED_TYPES[dtype].itemsize
    shape = () if tensor.dims == (0,) and tensor.nbytes == itemsize else tensor.dims
    needed = prod(shape) * itemsize
    if needed != tensor.nbytes:
        raise CheckpointError(
            f"{path}: '{tensor.tag}' is {dtype} {list(shape)}, which takes {needed} bytes; {tensor.nbytes} are there."
        )
    return entry_in_file(path, dtype=dtype, shape=shape, parts=tuple(tensor.parts))


def _text(path: Path, data: mmap.mmap, tensor: _Tensor) -> str:
    if tensor.nbytes > MAX_TEXT_BYTES:
        raise CheckpointError(f"{path}: the text '{tensor.tag}' has {tensor.nbytes} bytes: more than {MAX_TEXT_BYTES}.")
    try:
        return b"".join(data[at : at + length] for at, length in tensor.parts).decode("utf-32-le").rstrip("\0")
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is damaged: the text '{tensor.tag}' is not UTF-32.") from None


class _Parser(Messages):
    """Walks the messages of a checkpoint."""

    def __init__(self, path: Path, data: mmap.mmap):
        super().__init__(path, data)
        self.end = len(data)
        if self.end > CRC_BYTES and data[self.end - CRC_BYTES : self.end - 10] == CRC_MARK:
            self.end -= CRC_BYTES
            self._check_crc(int.from_bytes(data[self.end + len(CRC_MARK) :], "big"))

    def tensors(self) -> list[_Tensor]:
        """Every tensor, the slices of a large one joined."""
        found: list[_Tensor] = []
        for count, (number, wire, begin, end) in enumerate(self.fields(0, self.end)):
            if count >= MAX_VALUES:
                raise CheckpointError(f"{self.path} holds more than {MAX_VALUES} values: no checkpoint does.")
            if (number, wire) != (1, BYTES):
                raise self.damaged(begin, f"field {number} where a parameter should begin")
            tensor = self._value(begin, end)
            last = found[-1] if found else None
            if last and (last.tag, last.type, last.dims) == (tensor.tag, tensor.type, tensor.dims):
                last.parts += tensor.parts
            else:
                found.append(tensor)
        return found

    def _value(self, begin: int, end: int) -> _Tensor:
        tag, body = "", None
        for number, wire, start, stop in self.fields(begin, end):
            if (number, wire) == (1, BYTES):
                tag = self.string(start, stop, "a parameter's name")
            elif (number, wire) == (2, BYTES):
                body = (start, stop)
            elif (number, wire) == (3, BYTES):
                raise CheckpointError(f"{self.path}: '{tag}' is a hash-table parameter, which no BERT network has.")
        if not tag or body is None:
            raise self.damaged(begin, "a parameter without a name or a tensor")
        return self._tensor(tag, *body)

    def _tensor(self, tag: str, begin: int, end: int) -> _Tensor:
        dims: list[int] = []
        kind, part = "", None
        for number, wire, start, stop in self.fields(begin, end):
            if (number, wire) == (1, VARINT):
                dims.append(self.varint(start, stop)[0])
            elif (number, wire) == (1, BYTES):
                while start < stop:
                    value, start = self.varint(start, stop)
                    dims.append(value)
            elif (number, wire) == (2, BYTES):
                kind = self.string(start, stop, "a tensor's type")
            elif (number, wire) == (3, BYTES):
                part = (start, stop - start)
            if len(dims) > MAX_RANK:
                raise self.damaged(start, f"'{tag}' with more than {MAX_RANK} dimensions")
        if part is None or not kind:
            raise self.damaged(begin, f"'{tag}' without a type or content")
        if any(d >= 2**62 for d in dims):
            raise self.damaged(begin, f"'{tag}' with the impossible shape {dims}")
        return _Tensor(tag=tag, type=kind, dims=tuple(dims), parts=[part])

    def _check_crc(self, expected: int) -> None:
        found = 0
        step = 16 << 20
        for at in range(0, self.end, step):
            found = zlib.crc32(self.data[at : min(at + step, self.end)], found)
        if found != expected:
            raise CheckpointError(
                f"{self.path} is damaged: its content has the checksum {found:08x}, but {expected:08x} was written. "
                f"Copy or download it again."
            )
