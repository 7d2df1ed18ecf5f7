"""Read safetensors files, believing nothing their header says before it is checked.

Source: the format's description, https://github.com/huggingface/safetensors#format (8 bytes length N, N bytes JSON
header, then the tensors' bytes without gaps).
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

from bert_ms.checkpoint.weights import STORED_TYPES, Entry, Weights, entry_in_file
from bert_ms.errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_TENSORS = 1_000_000
MAX_RANK = 8

TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


def recognises(head: bytes, size: int) -> bool:
    """Whether a file that begins with `head` means to be safetensors: a JSON object after eight bytes."""
    return size >= 9 and head[8:9] == b"{" and head[9:10] in (b'"', b"}", b" ", b"\n", b"")


def read(path: Path) -> Weights:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: the header lies about its length, a tensor's type, shape or place, or the body is cut.
    """
    header, body = _read_header(path)
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(v, str) for v in texts.values()):
        raise CheckpointError(f"{path} is damaged: __metadata__ is not a mapping of texts.")
    body_bytes = path.stat().st_size - body
    entries: dict[str, Entry] = {}
    spans: list[tuple[int, int, str]] = []
    for name, description in header.items():
        dtype, shape, begin, end = _checked(path, name, description)
        spans.append((begin, end, name))
        entries[name] = entry_in_file(path, dtype=dtype, shape=shape, parts=((body + begin, end - begin),))
    _check_spans(path, sorted(spans), body_bytes)
    return Weights(entries=entries, format="safetensors", files=(path,), texts=texts)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and the offset of the tensors' bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path} is damaged: it claims a header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed."
            )
        if 8 + length > size:
            raise CheckpointError(
                f"{path} is cut or damaged: it claims a header of {length} bytes, but has {size} bytes in all. "
                f"Copy or download it again."
            )
        text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is damaged: its header is not UTF-8 (byte {error.start}).") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its header is not valid JSON ({error}).") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is damaged: its header is a {type(header).__name__}, not a mapping.")
    if len(header) > MAX_TENSORS:
        raise CheckpointError(f"{path} names {len(header)} tensors: at most {MAX_TENSORS} are read.")
    return header, 8 + length


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{twice}' appears twice")
    return values


def _checked(path: Path, name: str, description: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Stored type, shape, begin and end of one tensor, or an error that names what is wrong with it."""
    where = f"{path}: tensor '{name}'"
    if not isinstance(description, dict) or set(description) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where} is not described by exactly dtype, shape and data_offsets.")
    dtype = TYPES.get(description["dtype"]) if isinstance(description["dtype"], str) else None
    if dtype is None:
        raise CheckpointError(f"{where} has the type {description['dtype']!r}: {', '.join(TYPES)} can be read.")
    shape, offsets = description["shape"], description["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_RANK:
        raise CheckpointError(f"{where} has the shape {shape!r}: expected at most {MAX_RANK} whole numbers from 0 up.")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{where} has the data_offsets {offsets!r}: expected [begin, end].")
    begin, end = offsets
    needed = prod(shape) * STORED_TYPES[dtype].itemsize
    if end - begin != needed:
        raise CheckpointError(f"{where}: {dtype} {shape} takes {needed} bytes; its data_offsets hold {end - begin}.")
    return dtype, tuple(shape), begin, end


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _check_spans(path: Path, spans: list[tuple[int, int, str]], body_bytes: int) -> None:
    at = 0
    previous = "the header"
    for begin, end, name in spans:
        if begin != at:
            kind = "overlaps" if begin < at else "leaves a gap after"
            raise CheckpointError(f"{path} is damaged: '{name}' at byte {begin} {kind} {previous}, which ends at {at}.")
        at, previous = end, f"'{name}'"
    if body_bytes < at:
        raise CheckpointError(
            f"{path} is cut: its header describes {at} bytes of tensors, but only {body_bytes} are there. "
            f"Copy or download it again."
        )
    if body_bytes > at:
        raise CheckpointError(f"{path} is damaged: {body_bytes - at} bytes follow the last tensor.")
