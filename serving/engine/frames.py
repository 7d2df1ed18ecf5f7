"""Messages between the front process and an engine: a JSON header with raw arrays behind it, both bounded.

A frame is `MAGIC`, the header's length as a big-endian uint32, the header, then the arrays' bytes in the header's
order. Nothing of it is ever unpickled or evaluated.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MAGIC = b"bMs1"
_HEAD = struct.Struct("!4sI")
MAX_HEADER = 4 << 20
MAX_PAYLOAD = 1 << 30
MAX_ARRAYS, MAX_AXES = 32, 8
# The only kinds of numbers that cross, by the name in the header.
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("int32", "int64", "float32")}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
SMALL = 64 << 10  # bytes of a frame that is sent as one piece: every call of the system lets another thread go first


class EngineGone(Exception):
    """The other side cannot be spoken to any more."""

    reason = "died"


class Silent(EngineGone):
    """The other side did not take or send a frame in time."""

    reason = "unresponsive"


class Garbled(EngineGone):
    """What came is no frame."""

    reason = "garbled"


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes:
        kind: what it is about.
        fields: JSON values.
        arrays: by name.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


class Channel:
    """Frames over a stream socket; not for two threads at once.

    Args:
        connection: one end of a pair of stream sockets; belongs to the channel from now on.
        max_payload: most bytes of arrays that are taken.
    """

    def __init__(self, connection: socket.socket, *, max_payload: int = MAX_PAYLOAD):
        self._socket, self._max_payload = connection, max_payload

    def send(self, frame: Frame, *, timeout: float | None = None) -> None:
        """Send a frame.

        Raises:
            EngineGone: the other side has closed.
            Silent: it did not take all of it within `timeout` seconds.
            ValueError: the frame breaks the bounds, or holds a kind of numbers that does not cross.
        """
        arrays = [np.ascontiguousarray(array) for array in frame.arrays.values()]
        named = zip(frame.arrays, arrays, strict=True)
        described = [[name, _NAMES.get(array.dtype) or array.dtype.name, list(array.shape)] for name, array in named]
        header = json.dumps({"kind": frame.kind, "fields": dict(frame.fields), "arrays": described}).encode()
        if len(header) > MAX_HEADER or any(array.dtype not in _NAMES for array in arrays):
            raise ValueError(f"frame {frame.kind!r}: a header of {len(header)} bytes, arrays {described}.")
        until = None if timeout is None else time.monotonic() + timeout
        parts: list[bytes | memoryview] = [_HEAD.pack(MAGIC, len(header)) + header]
        parts += [array.reshape(-1).view(np.uint8).data for array in arrays if array.size]
        if sum(map(len, parts)) <= SMALL:
            parts = [b"".join(parts)]
        for part in parts:
            self._write(part, until)

    def receive(self, *, timeout: float | None = None) -> Frame:
        """The next frame.

        Raises:
            EngineGone: the other side has closed.
            Silent: it did not come within `timeout` seconds.
            Garbled: it breaks the form or the bounds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        magic, size = _HEAD.unpack(self._read(_HEAD.size, until))
        if magic != MAGIC or size > MAX_HEADER:
            raise Garbled(f"a frame begins with {magic!r} and {size} bytes of header.")
        kind, fields, described = _header(bytes(self._read(size, until)))
        sizes = [dtype.itemsize * math.prod(shape) for _, dtype, shape in described]
        if sum(sizes) > self._max_payload:
            raise Garbled(f"frame {kind!r} announces more than {self._max_payload:,} bytes.")
        data, at = self._read(sum(sizes), until), 0
        arrays: dict[str, np.ndarray] = {}
        for (name, dtype, shape), count in zip(described, sizes, strict=True):
            try:
                arrays[name] = np.ndarray(shape, dtype, data, at)
            except ValueError as error:  # without numbers, but with more of them on an axis than can be counted
                raise Garbled(f"frame {kind!r} has an array of shape {shape} ({error}).") from None
            at += count
        return Frame(kind, fields, arrays)

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end; the other side then meets the end of its stream."""
        self._socket.close()

    def _write(self, data: bytes | memoryview, until: float | None) -> None:
        try:
            self._socket.settimeout(_left(until))
            self._socket.sendall(data)
        except TimeoutError:
            raise Silent("a frame was not taken in time.") from None
        except OSError as error:
            raise EngineGone(f"the connection is closed ({error}).") from None

    def _read(self, size: int, until: float | None) -> bytearray:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            try:
                self._socket.settimeout(_left(until))
                count = self._socket.recv_into(view[at:])
            except TimeoutError:
                raise Silent("no frame came in time.") from None
            except OSError as error:
                raise EngineGone(f"the connection is closed ({error}).") from None
            if count == 0:
                raise EngineGone("the connection is closed.")
            at += count
        return data


def _left(until: float | None) -> float | None:
    """Seconds left; a little at least, since 0 would mean not to wait for what is there already."""
    return None if until is None else max(until - time.monotonic(), 1e-4)


def _header(data: bytes) -> tuple[str, dict[str, Any], list[tuple[str, np.dtype, tuple[int, ...]]]]:
    try:
        header = json.loads(data)
        kind, fields, arrays = header["kind"], header["fields"], header["arrays"]
        if not (isinstance(kind, str) and isinstance(fields, dict) and isinstance(arrays, list)):
            raise ValueError("kind is a text, fields a mapping, arrays a list")
        if len(arrays) > MAX_ARRAYS:
            raise ValueError(f"{len(arrays)} arrays")
        return kind, fields, [_array(*entry) for entry in arrays]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Garbled(f"a frame's header cannot be read ({type(error).__name__}: {error}).") from None


def _array(name: Any, dtype: Any, shape: Any) -> tuple[str, np.dtype, tuple[int, ...]]:
    if not isinstance(name, str) or not isinstance(dtype, str) or not isinstance(shape, list):
        raise ValueError("an array is a name, a kind of numbers and a shape")
    if len(shape) > MAX_AXES or any(type(axis) is not int or axis < 0 for axis in shape):
        raise ValueError(f"shape {shape}")
    return name, DTYPES[dtype], tuple(shape)
