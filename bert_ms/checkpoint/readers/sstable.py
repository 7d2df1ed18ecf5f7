"""Read LevelDB tables, which TensorFlow keeps its index of tensors in: keys with values, in blocks.

Source: LevelDB, doc/table_format.md and table/block_builder.cc; Snappy, format_description.txt. A footer of 48 bytes
says where the index block is; that says where the data blocks are; in a block each key leaves out what it shares with
the key before it; each block is followed by its compression (0 none, 1 Snappy) and a masked CRC-32C.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bert_ms.checkpoint.crc32c import crc32c, masked
from bert_ms.checkpoint.readers.protobuf import Messages
from bert_ms.errors import CheckpointError

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER_BYTES = 48
MAX_TABLE_BYTES = 32 << 20
MAX_BLOCK_BYTES = 8 << 20
MAX_KEY_BYTES = 1 << 16
_TRAILER_BYTES = 5


def read_table(path: Path) -> dict[bytes, bytes]:
    """Every key with its value.

    Raises:
        CheckpointError: the file is cut, a block's checksum does not match, or a length is wrong.
    """
    size = path.stat().st_size
    if size > MAX_TABLE_BYTES:
        raise CheckpointError(f"{path} has {size} bytes; an index of tensors has at most {MAX_TABLE_BYTES}.")
    table = _Table(path, path.read_bytes())
    pairs: dict[bytes, bytes] = {}
    for _, handle in table.pairs(table.index()):
        for key, value in table.pairs(table.block(handle)):
            if key in pairs:
                raise CheckpointError(f"{path} is damaged: the key {key[:80]!r} appears twice.")
            pairs[key] = value
    return pairs


class _Table(Messages):
    """The blocks of one file."""

    data: bytes

    def __init__(self, path: Path, data: bytes):
        super().__init__(path, data)
        self.spent = 0

    def index(self) -> bytes:
        """The block that says where the others are."""
        if self.data[-len(MAGIC) :] != MAGIC or len(self.data) < FOOTER_BYTES:
            raise CheckpointError(
                f"{self.path} is cut or no index: it does not end as a table does. Copy or download it again."
            )
        footer = self.data[-FOOTER_BYTES:]
        reader = Messages(self.path, footer)
        at = 0
        for _ in range(2):  # the place of the meta index, which is skipped
            _, at = reader.varint(at, FOOTER_BYTES)
        return self.block(footer[at:])

    def block(self, handle: bytes) -> bytes:
        """The content of the block at a handle: offset and size."""
        reader = Messages(self.path, handle)
        offset, at = reader.varint(0, len(handle))
        size, _ = reader.varint(at, len(handle))
        end = offset + size
        if end + _TRAILER_BYTES > len(self.data) - FOOTER_BYTES:
            raise CheckpointError(
                f"{self.path} is cut or damaged: a block of {size} bytes at byte {offset} does not fit its "
                f"{len(self.data)} bytes. Copy or download it again."
            )
        self.spent += size
        if self.spent > len(self.data):
            raise CheckpointError(f"{self.path} is damaged: its blocks overlap.")
        kind = self.data[end]
        stored = int.from_bytes(self.data[end + 1 : end + _TRAILER_BYTES], "little")
        if masked(crc32c(self.data[offset : end + 1])) != stored:
            raise CheckpointError(
                f"{self.path} is damaged: the block at byte {offset} does not have its checksum. Copy or download it "
                f"again."
            )
        content = self.data[offset:end]
        if kind > 1:
            raise self.damaged(end, f"the unknown compression {kind}")
        return unpacked(self.path, content) if kind else content

    def pairs(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a block."""
        restarts = int.from_bytes(block[-4:], "little")
        end = len(block) - 4 * (restarts + 1)
        if len(block) < 4 or end < 0:
            raise CheckpointError(f"{self.path} is damaged: a block of {len(block)} bytes has {restarts} restarts.")
        reader = Messages(self.path, block)
        at, key = 0, b""
        while at < end:
            shared, at = reader.varint(at, end)
            own, at = reader.varint(at, end)
            length, at = reader.varint(at, end)
            if shared > len(key) or shared + own > MAX_KEY_BYTES or at + own + length > end:
                raise CheckpointError(
                    f"{self.path} is damaged: a key shares {shared} bytes and has {own} of its own and a value of "
                    f"{length}, in a block of {end}."
                )
            key = key[:shared] + block[at : at + own]
            yield key, block[at + own : at + own + length]
            at += own + length


def unpacked(path: Path, packed: bytes) -> bytes:
    """Snappy's compression undone.

    Raises:
        CheckpointError: it is damaged, or would be larger than any block.
    """
    reader = Messages(path, packed)
    size, at = reader.varint(0, len(packed))
    if size > MAX_BLOCK_BYTES:
        raise CheckpointError(f"{path}: a block would unpack to {size} bytes; at most {MAX_BLOCK_BYTES} are unpacked.")
    out = bytearray()
    while at < len(packed):
        tag = packed[at]
        kind, length = tag & 3, tag >> 2
        at += 1
        more = 0
        if kind == 0:
            more = max(length - 59, 0)
            length = length if not more else int.from_bytes(packed[at : at + more], "little")
            at += more
            literal = packed[at : at + length + 1]
            at += length + 1
            if len(literal) != length + 1:
                break
            out += literal
        else:
            more = (1, 2, 4)[kind - 1]
            back = int.from_bytes(packed[at : at + more], "little")
            if kind == 1:
                back, length = (tag >> 5) << 8 | back, (length & 7) + 3
            at += more
            _repeat(path, out, back, length + 1)
        if len(out) > size:
            break
    if len(out) != size or at != len(packed):
        raise CheckpointError(f"{path} is damaged: a block does not unpack to the {size} bytes that it announces.")
    return bytes(out)


def _repeat(path: Path, out: bytearray, back: int, length: int) -> None:
    if not 0 < back <= len(out):
        raise CheckpointError(f"{path} is damaged: a block repeats what is {back} bytes back, of {len(out)}.")
    for _ in range(length):
        out.append(out[-back])
