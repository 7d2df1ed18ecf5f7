"""Write tensors as safetensors or MindSpore .ckpt files, one tensor in memory at a time."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bert_ms.checkpoint.readers import mindspore as ckpt
from bert_ms.checkpoint.readers import safetensors
from bert_ms.checkpoint.weights import STORED_TYPES, Entry

SLICE_BYTES = 512 << 20  # MindSpore itself splits larger tensors

_SAFETENSORS_TYPE = {ours: theirs for theirs, ours in safetensors.TYPES.items()}
_CKPT_TYPE = {ours: theirs for theirs, ours in ckpt.TYPES.items()}
_LOADED_TYPE = {"float16": "float32", "bfloat16": "float32"}


def write_safetensors(path: Path, tensors: Mapping[str, Entry], *, texts: Mapping[str, str]) -> None:
    """Write a safetensors file; half-precision tensors become float32.

    Args:
        path: the new file.
        tensors: by name; written in the order of their names.
        texts: the file's `__metadata__`; Transformers wants `format: pt` in it.
    """
    header: dict[str, object] = {"__metadata__": dict(texts)}
    at = 0
    ordered = dict(sorted(tensors.items()))
    for name, entry in ordered.items():
        end = at + size_of(entry)
        kind = _SAFETENSORS_TYPE[loaded_type(entry)]
        header[name] = {"dtype": kind, "shape": list(entry.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for entry in ordered.values():
            file.write(bytes_of(entry))


def write_ckpt(path: Path, tensors: Mapping[str, Entry], *, with_checksum: bool) -> None:
    """Write a MindSpore checkpoint; half-precision tensors become float32.

    Args:
        path: the new file.
        tensors: by name; written in the order given.
        with_checksum: end the file with MindSpore's CRC-32, which versions before 2.0 do not know.
    """
    checksum = 0
    with path.open("xb") as file:
        for name, entry in tensors.items():
            content = bytes_of(entry)
            for at in range(0, max(len(content), 1), SLICE_BYTES):
                head, part = _value(name, entry, content[at : at + SLICE_BYTES])
                checksum = zlib.crc32(part, zlib.crc32(head, checksum))
                file.write(head)
                file.write(part)
        if with_checksum:
            file.write(ckpt.CRC_MARK + checksum.to_bytes(10, "big"))


def _value(name: str, entry: Entry, content: memoryview) -> tuple[bytes, memoryview]:
    """One `Checkpoint{value}` message in two parts: all up to the content, and the content."""
    dims = b"".join(b"\x08" + varint(d) for d in (entry.shape or (0,)))
    kind = _CKPT_TYPE[loaded_type(entry)].encode()
    tensor = dims + b"\x12" + varint(len(kind)) + kind + b"\x1a" + varint(len(content))
    tag = name.encode()
    value = b"\x0a" + varint(len(tag)) + tag + b"\x12" + varint(len(tensor) + len(content)) + tensor
    return b"\x0a" + varint(len(value) + len(content)) + value, content


def varint(value: int) -> bytes:
    """A base-128 number, as protobuf and LevelDB have it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def loaded_type(entry: Entry) -> str:
    """The type that a tensor has in a file written here."""
    return _LOADED_TYPE.get(entry.dtype, entry.dtype)


def size_of(entry: Entry) -> int:
    """Bytes that a tensor takes in a file written here."""
    return entry.nbytes // STORED_TYPES[entry.dtype].itemsize * STORED_TYPES[loaded_type(entry)].itemsize


def bytes_of(entry: Entry) -> memoryview:
    """A tensor's bytes in a file written here."""
    array = np.ascontiguousarray(entry.load(), dtype=STORED_TYPES[loaded_type(entry)])
    return memoryview(array.reshape(-1).view(np.uint8).data)
