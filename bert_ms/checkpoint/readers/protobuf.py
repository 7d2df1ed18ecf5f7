"""Walk protobuf messages without protobuf: field numbers, and where in the data each content is.

Source: https://protobuf.dev/programming-guides/encoding (keys, wire types, base-128 numbers).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from bert_ms.errors import CheckpointError

MAX_NAME_BYTES = 4096
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Messages:
    """Bytes with messages in them; every length is checked against the bytes that are there before it is used.

    Args:
        path: of the file, for errors.
        data: what the messages are in.
    """

    def __init__(self, path: Path, data: bytes | mmap.mmap):
        self.path = path
        self.data = data

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(field number, wire type, begin, end of the content) of each field of a message."""
        while at < end:
            key, content = self.varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                stop = self.varint(content, end)[1]
            elif wire == BYTES:
                length, content = self.varint(content, end)
                stop = content + length
            elif wire in (FIXED64, FIXED32):
                stop = content + (8 if wire == FIXED64 else 4)
            else:
                raise self.damaged(at, f"wire type {wire}")
            if number == 0:
                raise self.damaged(at, "field number 0")
            if stop > end:
                raise CheckpointError(
                    f"{self.path} is cut or damaged: at byte {at} it announces {stop - content} bytes, "
                    f"but {end - content} are left. Copy or download it again."
                )
            yield number, wire, content, stop
            at = stop

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """A base-128 number, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise self.damaged(at, "the end within a number")
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise self.damaged(at, "a number of more than ten bytes")

    def string(self, begin: int, end: int, what: str) -> str:
        """A short text; `what` it is, for errors."""
        if end - begin > MAX_NAME_BYTES:
            raise self.damaged(begin, f"{what} of {end - begin} bytes")
        try:
            return self.data[begin:end].decode("utf-8")
        except UnicodeDecodeError:
            raise self.damaged(begin, f"{what} that is not UTF-8") from None

    def damaged(self, at: int, what: str) -> CheckpointError:
        """The error that says what was found where."""
        return CheckpointError(f"{self.path} is damaged at byte {at}: found {what}. Copy or download it again.")
