"""Read TensorFlow's checkpoints without TensorFlow: an index of tensors, and the shards that their bytes lie in.

Source: tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle (BundleHeaderProto under the empty
key, a BundleEntryProto under each name), trackable_object_graph.proto. Checkpoints of TensorFlow 2 and SavedModels
name their tensors by the way through the program's objects (`variables/7/.ATTRIBUTES/VARIABLE_VALUE`); the names that
people gave are in the object graph, a text among the tensors, and are taken where they are unique.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from bert_ms.checkpoint.crc32c import crc32c, masked
from bert_ms.checkpoint.readers import sstable
from bert_ms.checkpoint.readers.protobuf import BYTES, FIXED32, VARINT, Messages
from bert_ms.checkpoint.weights import STORED_TYPES, Entry, Weights, entry_in_file
from bert_ms.errors import CheckpointError

SUFFIX = ".index"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/"
OPTIMISER = "optimizer/"
MAX_RANK = 16
MAX_SHARDS = 10_000
MAX_GRAPH_BYTES = 256 << 20
PART = re.compile(r"(?P<prefix>.+)\.(index|meta|data-\d{5}-of-\d{5})")

# DataType of types.proto -> our stored type.
TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_TEXT = 7


@dataclass(frozen=True)
class _Item:
    """A BundleEntryProto."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    is_sliced: bool
    crc: int | None


def recognises(head: bytes, size: int) -> bool:
    """Any file may be one by its first bytes; the last ones tell (`sstable.MAGIC`)."""
    return size >= sstable.FOOTER_BYTES


def read(path: Path) -> Weights:
    """The tensors of the checkpoint that an index belongs to; the shards need not be there to know names and shapes.

    Raises:
        CheckpointError: the index is damaged, a tensor's size does not fit its shape, a type is not known, or a shard
            is shorter than the index says.
    """
    pairs = sstable.read_table(path)
    header = pairs.pop(b"", None)
    if header is None:
        raise CheckpointError(f"{path} is no index of a TensorFlow checkpoint: it has no header.")
    bundle = _Bundle(path, _shards(path, header))
    items = {_text(path, key): bundle.item(key, value) for key, value in pairs.items()}
    names = bundle.names(items)
    entries: dict[str, Entry] = {}
    texts: dict[str, str] = {}
    for key, item in items.items():
        if item.dtype == _TEXT:
            if key != OBJECT_GRAPH:
                texts[key] = "a text, which is not read"
        else:
            entries[names[key]] = bundle.entry(names[key], item)
    shards = sorted({bundle.shards[item.shard] for item in items.values()})
    return Weights(
        entries=entries,
        format="TensorFlow checkpoint",
        files=(path, *(shard for shard in shards if shard.is_file())),
        texts=texts,
        absent=tuple(shard for shard in shards if not shard.is_file()),
    )


def _shards(path: Path, header: bytes) -> tuple[Path, ...]:
    reader = Messages(path, header)
    count, is_big_endian = 1, False
    for number, wire, begin, end in reader.fields(0, len(header)):
        if (number, wire) == (1, VARINT):
            count = reader.varint(begin, end)[0]
        elif (number, wire) == (2, VARINT):
            is_big_endian = reader.varint(begin, end)[0] != 0
    if is_big_endian:
        raise CheckpointError(f"{path} was written by a big-endian machine, whose numbers are not read.")
    if not 0 < count <= MAX_SHARDS:
        raise CheckpointError(f"{path} is damaged: it claims {count} shards; expected 1 to {MAX_SHARDS}.")
    stem = path.name.removesuffix(SUFFIX)
    return tuple(path.with_name(f"{stem}.data-{i:05d}-of-{count:05d}") for i in range(count))


def _text(path: Path, key: bytes) -> str:
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError:
        raise CheckpointError(f"{path} is damaged: the name {key[:80]!r} is not UTF-8.") from None
    if "\0" in text:
        raise CheckpointError(
            f"{path} holds a variable in slices ('{text.split(chr(0))[1]}'), which are not joined here."
        )
    return text


class _Bundle:
    """One index with its shards."""

    def __init__(self, path: Path, shards: tuple[Path, ...]):
        self.path = path
        self.shards = shards

    def item(self, key: bytes, value: bytes) -> _Item:
        """What the index says of one tensor."""
        reader = Messages(self.path, value)
        numbers = dict.fromkeys((1, 3, 4, 5), 0)
        shape: tuple[int, ...] = ()
        is_sliced = False
        crc: int | None = None
        for number, wire, begin, end in reader.fields(0, len(value)):
            if wire == VARINT and number in numbers:
                numbers[number] = reader.varint(begin, end)[0]
            elif (number, wire) == (2, BYTES):
                shape = self._shape(reader, begin, end)
            elif (number, wire) == (7, BYTES):
                is_sliced = True
            elif (number, wire) == (6, FIXED32):
                crc = int.from_bytes(value[begin:end], "little")
            else:
                raise CheckpointError(f"{self.path} is damaged: the entry of {key[:80]!r} has a field {number}.")
        dtype, shard, offset, size = numbers.values()
        if shard >= len(self.shards):
            raise CheckpointError(f"{self.path} is damaged: {key[:80]!r} is in shard {shard} of {len(self.shards)}.")
        return _Item(dtype, shape, shard, offset, size, is_sliced, crc)

    @staticmethod
    def _shape(reader: Messages, begin: int, end: int) -> tuple[int, ...]:
        sizes: list[int] = []
        for number, wire, start, stop in reader.fields(begin, end):
            if (number, wire) != (2, BYTES):
                raise reader.damaged(start, "a tensor of unknown shape")
            size = 0
            for inner, inner_wire, at, to in reader.fields(start, stop):
                if (inner, inner_wire) == (1, VARINT):
                    size = reader.varint(at, to)[0]
            sizes.append(size)
        if len(sizes) > MAX_RANK or any(size >= 2**62 for size in sizes):
            raise reader.damaged(begin, f"the impossible shape {sizes[: MAX_RANK + 1]}")
        return tuple(sizes)

    def entry(self, name: str, item: _Item) -> Entry:
        """One tensor, not yet read."""
        dtype = TYPES.get(item.dtype)
        if dtype is None:
            raise CheckpointError(
                f"{self.path}: '{name}' has TensorFlow's type {item.dtype}: {', '.join(TYPES.values())} can be read."
            )
        if item.is_sliced:
            raise CheckpointError(f"{self.path}: '{name}' is stored in slices, which are not joined here.")
        needed = prod(item.shape) * STORED_TYPES[dtype].itemsize
        if needed != item.size:
            raise CheckpointError(
                f"{self.path}: '{name}' is {dtype} {list(item.shape)}, which takes {needed} bytes; the index says "
                f"{item.size}."
            )
        shard = self.shards[item.shard]
        if not shard.is_file():
            return Entry(shape=item.shape, dtype=dtype, read=_Absent(shard, name))
        self._check_end(shard, name, item)
        check = None if item.crc is None else _Checksum(shard, name, item.crc)
        return entry_in_file(shard, dtype=dtype, shape=item.shape, parts=((item.offset, item.size),), check=check)

    def _check_end(self, shard: Path, name: str, item: _Item) -> None:
        size = shard.stat().st_size
        if item.offset + item.size > size:
            raise CheckpointError(
                f"{shard} is cut: '{name}' ends at byte {item.offset + item.size}, but the file has {size}. Copy or "
                f"download it again."
            )

    def names(self, items: Mapping[str, _Item]) -> dict[str, str]:
        """Key -> the name that people gave the variable, where the object graph has one that is unique."""
        graph = items.get(OBJECT_GRAPH)
        given = dict(self._given_names(graph)) if graph and self.shards[graph.shard].is_file() else {}
        count = Counter(given.values())
        named: dict[str, str] = {}
        for key in items:
            plain = key.removesuffix(ATTRIBUTE)
            name = given.get(key, "")
            keeps_key = not name or count[name] > 1 or SLOT in key or "/" not in plain or key.startswith(OPTIMISER)
            named[key] = plain if keeps_key else name
        if len(set(named.values())) != len(named):
            return {key: key for key in items}
        return named

    def _given_names(self, item: _Item) -> Iterator[tuple[str, str]]:
        """(key, full_name) of each variable in the object graph."""
        shard = self.shards[item.shard]
        if item.dtype != _TEXT or item.shape or item.size > MAX_GRAPH_BYTES:
            raise CheckpointError(
                f"{self.path} is damaged: its object graph is no text of at most {MAX_GRAPH_BYTES} bytes."
            )
        self._check_end(shard, OBJECT_GRAPH, item)
        with shard.open("rb") as file:
            file.seek(item.offset)
            content = file.read(item.size)
        reader = Messages(shard, content)
        length, at = reader.varint(0, len(content))
        at += 4  # the checksum of the length
        if at + length != len(content):
            raise CheckpointError(f"{shard} is damaged: its object graph has {len(content) - at} bytes, not {length}.")
        for node in _messages(reader, at, len(content), 1):
            for attribute in _messages(reader, *node, 2):
                texts = {
                    number: reader.string(begin, end, "a variable's name")
                    for number, wire, begin, end in reader.fields(*attribute)
                    if wire == BYTES and number in (2, 3)
                }
                if 2 in texts and 3 in texts:
                    yield texts[3], texts[2]


def _messages(reader: Messages, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    for number, wire, start, stop in reader.fields(begin, end):
        if (number, wire) == (wanted, BYTES):
            yield start, stop


@dataclass(frozen=True)
class _Checksum:
    """Refuses a tensor whose bytes are not those that the index has the checksum of."""

    shard: Path
    name: str
    expected: int

    def __call__(self, content: memoryview) -> None:
        if masked(crc32c(content)) != self.expected:
            raise CheckpointError(
                f"{self.shard} is damaged: '{self.name}' does not have its checksum. Copy or download it again."
            )


@dataclass(frozen=True)
class _Absent:
    """Reads a tensor whose shard is not there."""

    shard: Path
    name: str

    def __call__(self) -> np.ndarray:
        raise CheckpointError(
            f"{self.shard} is not there, and '{self.name}' is in it: copy it beside the index that names it."
        )
