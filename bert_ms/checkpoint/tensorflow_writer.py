"""Write TensorFlow's checkpoints without TensorFlow: one shard of tensors, and the index that names them.

Source: tensorflow/core/util/tensor_bundle and core/protobuf/tensor_bundle.proto; LevelDB, doc/table_format.md and
table/block_builder.cc. Everything is laid out as TensorFlow's own writer does it, uncompressed blocks of 256 KiB and a
restart every sixteen keys, so that its files come out again byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bert_ms.checkpoint.crc32c import crc32c, masked
from bert_ms.checkpoint.readers import sstable, tensorflow
from bert_ms.checkpoint.weights import Entry
from bert_ms.checkpoint.writers import bytes_of, loaded_type, size_of, varint

BLOCK_BYTES = 256 << 10
RESTART_EVERY = 16
_VERSION = b"\x1a\x02\x08\x01"  # of the layout: the first
_ONE_SHARD = b"\x08\x01"
_UNCOMPRESSED = b"\0"

_TYPE = {ours: theirs for theirs, ours in tensorflow.TYPES.items()}


def write_bundle(index: Path, tensors: Mapping[str, Entry]) -> None:
    """Write a checkpoint of one shard; half-precision tensors become float32.

    Args:
        index: the new index, whose name ends in `.index`; the shard is written beside it.
        tensors: by name; written in the order of their names.
    """
    pairs = {b"": _ONE_SHARD + _VERSION}
    with shard_of(index).open("xb") as file:
        for name, entry in sorted(tensors.items()):
            content = bytes_of(entry)
            pairs[name.encode()] = _entry(entry, offset=file.tell(), crc=masked(crc32c(content)))
            file.write(content)
    write_table(index, pairs)


def shard_of(index: Path) -> Path:
    """The one shard that belongs to an index."""
    return index.with_name(f"{index.name.removesuffix(tensorflow.SUFFIX)}.data-00000-of-00001")


def state_of(index: Path) -> str:
    """Text of the file `checkpoint`, by which TensorFlow finds the latest checkpoint of a directory."""
    prefix = index.name.removesuffix(tensorflow.SUFFIX)
    return f'model_checkpoint_path: "{prefix}"\nall_model_checkpoint_paths: "{prefix}"\n'


def write_table(path: Path, pairs: Mapping[bytes, bytes]) -> None:
    """Write a LevelDB table.

    Args:
        path: the new file.
        pairs: keys and values; written in the order of their keys.
    """
    places: list[tuple[bytes, bytes]] = []
    with path.open("xb") as file:

        def put(block: bytes) -> bytes:
            handle = varint(file.tell()) + varint(len(block))
            content = block + _UNCOMPRESSED
            file.write(content + masked(crc32c(content)).to_bytes(4, "little"))
            return handle

        for group in _groups(pairs):
            places.append((group[-1][0], put(_block(group, RESTART_EVERY))))
        places[-1] = (_successor(places[-1][0]), places[-1][1])
        meta = put(_block([], RESTART_EVERY))
        footer = meta + put(_block(places, 1))
        file.write(footer.ljust(sstable.FOOTER_BYTES - len(sstable.MAGIC), b"\0") + sstable.MAGIC)


def _entry(entry: Entry, *, offset: int, crc: int) -> bytes:
    """A BundleEntryProto; numbers that are 0 are left out."""
    sizes = (b"\x08" + varint(size) if size else b"" for size in entry.shape)
    shape = b"".join(b"\x12" + varint(len(size)) + size for size in sizes)
    numbers = ((b"\x20", offset), (b"\x28", size_of(entry)))
    return (
        b"\x08"
        + varint(_TYPE[loaded_type(entry)])
        + b"\x12"
        + varint(len(shape))
        + shape
        + b"".join(tag + varint(number) for tag, number in numbers if number)
        + b"\x35"
        + crc.to_bytes(4, "little")
    )


def _groups(pairs: Mapping[bytes, bytes]) -> Iterator[list[tuple[bytes, bytes]]]:
    """The pairs of each block, in the order of their keys."""
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in sorted(pairs.items()):
        group.append((key, value))
        size += len(key) + len(value)
        if size >= BLOCK_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _block(pairs: list[tuple[bytes, bytes]], restart_every: int) -> bytes:
    """A block: each key without what it shares with the one before it, and where keys are whole."""
    out = bytearray()
    restarts = [0]
    previous = b""
    for at, (key, value) in enumerate(pairs):
        if at % restart_every == 0:
            shared = 0
            if at:
                restarts.append(len(out))
        else:
            shared = _common(previous, key)
        own = key[shared:]
        out += varint(shared) + varint(len(own)) + varint(len(value)) + own + value
        previous = key
    return bytes(out) + b"".join(n.to_bytes(4, "little") for n in (*restarts, len(restarts)))


def _common(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)


def _successor(key: bytes) -> bytes:
    """The shortest key that is not before another: its first byte that can grow, grown by one."""
    at = next((at for at, byte in enumerate(key) if byte != 0xFF), None)
    return key if at is None else key[:at] + bytes([key[at] + 1])
