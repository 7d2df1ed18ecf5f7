"""Tensors of a file by name, read one at a time when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np

from bert_ms.errors import CheckpointError, unknown

MAP = "BERT_MS_MAP"  # environment: "off" copies weights into memory, whatever becomes of their file

# Stored type -> the numpy type of its bytes. numpy has no bfloat16: its bits travel as uint16.
STORED_TYPES: dict[str, np.dtype] = {
    "bool": np.dtype("?"),
    "uint8": np.dtype("u1"),
    "int8": np.dtype("i1"),
    "uint16": np.dtype("<u2"),
    "int16": np.dtype("<i2"),
    "uint32": np.dtype("<u4"),
    "int32": np.dtype("<i4"),
    "uint64": np.dtype("<u8"),
    "int64": np.dtype("<i8"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}


@dataclass(frozen=True)
class Entry:
    """One tensor of a file, not yet in memory.

    Attributes:
        shape: as stored.
        dtype: as stored, a key of STORED_TYPES.
        read: gives the stored values in a new array of `shape` (bfloat16 as its bits).
        is_transposed: the array that `load` gives is the stored one transposed.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    is_transposed: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes that the stored tensor takes."""
        return prod(self.shape) * STORED_TYPES[self.dtype].itemsize

    def transposed(self) -> Entry:
        """The same tensor with its axes reversed, as far as `load` is concerned."""
        return replace(self, shape=self.shape[::-1], is_transposed=not self.is_transposed)

    def merged(self, where: str) -> Entry:
        """The same tensor with its first, or last, two axes made one; as it is where it has fewer than two."""
        if not where or len(self.shape) < 2:
            return self
        shape = (-1, *self.shape[2:]) if where == "first" else (*self.shape[:-2], -1)
        full = tuple(prod(self.shape) // max(prod(s for s in shape if s > 0), 1) if s == -1 else s for s in shape)
        return replace(self, shape=full, read=lambda: self.read().reshape(full))

    def load(self) -> np.ndarray:
        """The tensor in memory; half-precision numbers become float32, without loss."""
        array = self.read()
        if self.dtype == "bfloat16":
            bits = array.astype(np.uint32)
            bits <<= np.uint32(16)  # in place: an array without axes would become a number
            array = bits.view(np.float32)
        elif self.dtype == "float16":
            array = array.astype(np.float32)
        return np.ascontiguousarray(array.T) if self.is_transposed else array


@dataclass(frozen=True)
class Weights(Mapping[str, np.ndarray]):
    """The tensors of a checkpoint by the names in its file; `weights[name]` reads that one tensor.

    Attributes:
        entries: each tensor's shape, stored type and how to read it.
        format: name of the file format.
        files: the files read, one unless the checkpoint is sharded.
        texts: texts that the format keeps beside the tensors.
        absent: files that the tensors' bytes are in, but which are not there.
    """

    entries: Mapping[str, Entry]
    format: str
    files: tuple[Path, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[Path, ...] = ()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.entries:
            raise KeyError(unknown("tensor", name, self.entries))
        return self.entries[name].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, without reading any."""
        return {name: entry.shape for name, entry in self.entries.items()}


def entry_in_file(
    path: Path,
    *,
    dtype: str,
    shape: tuple[int, ...],
    parts: tuple[tuple[int, int], ...],
    check: Callable[[memoryview], None] | None = None,
) -> Entry:
    """A tensor whose little-endian bytes lie in one or several places of a file.

    One place whose bytes nobody checks is mapped: loading copies nothing, writing to the array leaves the file as it
    is, and processes share what none of them writes to. The file must then stay as it is while the array lives; to
    replace it, put another file in its place, as `save` does. What lies in several places, or off the bounds of its
    type, is read into memory of its own; so is everything where the environment has BERT_MS_MAP=off, and on Windows,
    where a file that is mapped cannot be replaced.

    Args:
        path: the file.
        dtype: stored type, a key of STORED_TYPES.
        shape: the tensor's shape; its bytes must be as many as `parts` hold (checked by the reader).
        parts: (offset, length) in bytes of each place, in order.
        check: raises where the bytes that were read are not those that were written.
    """

    is_mapped = check is None and len(parts) == 1 and parts[0][1] > 0 and _may_map()
    is_mapped = is_mapped and parts[0][0] % STORED_TYPES[dtype].itemsize == 0

    def read() -> np.ndarray:
        if is_mapped:
            return mapped()
        try:
            array = np.empty(shape, STORED_TYPES[dtype])
        except ValueError:  # no bytes, but sizes that numpy does not count to
            raise CheckpointError(f"{path}: no tensor can have the shape {list(shape)}.") from None
        target = memoryview(array.reshape(-1).view(np.uint8).data) if array.size else memoryview(b"")
        done = 0
        with path.open("rb") as file:
            for offset, length in parts:
                file.seek(offset)
                got = file.readinto(target[done : done + length]) if length else 0
                if got != length:
                    raise CheckpointError(f"{path} ended while it was read: is something else writing to it?")
                done += length
        if check is not None:
            check(target)
        return array

    def mapped() -> np.ndarray:
        try:
            return np.asarray(np.memmap(path, STORED_TYPES[dtype], "c", parts[0][0], shape))
        except ValueError:
            raise CheckpointError(f"{path} ended while it was read: is something else writing to it?") from None

    return Entry(shape=shape, dtype=dtype, read=read)


def entry_in_memory(array: np.ndarray) -> Entry:
    """A tensor that is in memory already."""
    return Entry(shape=tuple(array.shape), dtype=array.dtype.name, read=lambda: array)


def _may_map() -> bool:
    return os.name == "posix" and os.environ.get(MAP, "on").strip().lower() != "off"
