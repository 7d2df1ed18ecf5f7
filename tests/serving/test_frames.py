"""Frames between the front process and an engine."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from serving.engine.frames import MAGIC, MAX_HEADER, Channel, EngineGone, Frame, Garbled, Silent


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the bare socket on its other side."""
    first, second = socket.socketpair()
    yield Channel(first, max_payload=1 << 20), second
    first.close()
    second.close()


def raw(header: Any, payload: bytes = b"", *, magic: bytes = MAGIC, size: int | None = None) -> bytes:
    data = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("!4sI", magic, len(data) if size is None else size) + data + payload


def test_a_frame_arrives_as_it_was_sent(ends):
    channel, other = ends
    sender = Channel(other)
    arrays = {
        "ids": np.arange(6, dtype=np.int32).reshape(2, 3),
        "none": np.zeros((0, 4), np.float32),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "big": np.array([2**62], np.int64),
    }
    sender.send(Frame("batch", {"rows": 2, "text": "ü"}, arrays))
    found = channel.receive(timeout=1)
    assert (found.kind, found.fields) == ("batch", {"rows": 2, "text": "ü"})
    assert list(found.arrays) == list(arrays)
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_a_small_frame_leaves_and_comes_in_one_piece(ends):
    channel, other = ends
    channel.send(Frame("batch", {"rows": 1}, {"a": np.arange(6, dtype=np.int32), "b": np.ones((2, 3), np.float32)}))
    assert other.recv(1 << 16, socket.MSG_DONTWAIT).endswith(np.arange(6, dtype="<i4").tobytes() + b"\0\0\x80?" * 6)


def test_a_large_frame_crosses_while_both_sides_work(ends):
    channel, other = ends
    array = np.arange(200_000, dtype=np.float32)
    thread = threading.Thread(target=Channel(other).send, args=(Frame("outputs", {}, {"x": array}),))
    thread.start()
    np.testing.assert_array_equal(channel.receive(timeout=5).arrays["x"], array)
    thread.join()


@pytest.mark.parametrize(
    "data",
    [
        raw({"kind": "a", "fields": {}, "arrays": []}, magic=b"EVIL"),
        raw(b"", size=MAX_HEADER + 1),
        raw(b"not json"),
        raw(b"\xff\xfe"),
        raw(b"[" * 100_000),
        raw([]),
        raw({"kind": 1, "fields": {}, "arrays": []}),
        raw({"kind": "a", "fields": [], "arrays": []}),
        raw({"kind": "a", "fields": {}}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "object", [1]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [-1]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [1.5]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [True]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", "11"]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [1] * 9]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [2**40, 2**40]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [0, 2**70]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [1 << 17]], ["y", "int32", [1 << 18]]]}),
        raw({"kind": "a", "fields": {}, "arrays": [["x", "int32", [1]]] * 33}),
        raw({"kind": "a", "fields": {}, "arrays": ["xyz"]}),
    ],
)
def test_what_is_no_frame_is_refused_before_memory_is_taken(ends, data):
    channel, other = ends
    other.sendall(data)
    with pytest.raises(Garbled):
        channel.receive(timeout=1)


def test_a_closed_connection_is_told_from_a_silent_one(ends):
    channel, other = ends
    with pytest.raises(Silent):
        channel.receive(timeout=0.02)
    other.sendall(MAGIC)  # half a frame
    with pytest.raises(Silent):
        channel.receive(timeout=0.02)
    other.close()
    with pytest.raises(EngineGone, match="closed"):
        channel.receive(timeout=1)
    with pytest.raises(EngineGone, match="closed"):
        channel.send(Frame("ping"))


def test_a_side_that_does_not_read_does_not_hold_up_the_sender_for_ever(ends):
    channel, _ = ends
    with pytest.raises(Silent):
        channel.send(Frame("batch", {}, {"x": np.zeros(4_000_000, np.float32)}), timeout=0.05)


def test_numbers_of_other_kinds_do_not_cross(ends):
    channel, _ = ends
    for array in (np.array([None]), np.zeros(2, np.float64), np.array(["a"])):
        with pytest.raises(ValueError, match="arrays"):
            channel.send(Frame("batch", {}, {"x": array}))
