"""CRC-32C, the checksum in TensorFlow's files, of a few bytes or of gigabytes.

Source: the Castagnoli polynomial as in RFC 3720, appendix B.4. Large data is taken as rows of LANES words whose
checksums run side by side: a checksum without its two inversions is linear, so that lanes join by exclusive or, each
after as many zero bytes as lie behind it.
"""

from __future__ import annotations

from functools import cache

import numpy as np

LANES = 1 << 15
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_WORD = 4
_SMALL = 1 << 12  # bytes up to which one after the other is as fast


def crc32c(data: bytes | memoryview) -> int:
    """The checksum of some bytes.

    Args:
        data: contiguous bytes.
    """
    return _one_by_one(data) if len(data) <= _SMALL else _side_by_side(data)


def masked(crc: int) -> int:
    """A checksum as files store it, so that the checksum of data with checksums in it stays one."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _one_by_one(data: bytes | memoryview) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _side_by_side(data: bytes | memoryview) -> int:
    row_bytes = LANES * _WORD
    first = (len(data) - _WORD) % row_bytes + _WORD  # what does not fill a row; zeros before it change nothing
    head = np.zeros(2 * row_bytes, np.uint8)
    head[-first:] = np.frombuffer(data, np.uint8, first)
    head[-first:][:_WORD] ^= 0xFF  # the inversion at the beginning
    low, high = _row_tables()
    lanes = np.zeros(LANES, "<u4")
    for rows in (head.view("<u4"), np.frombuffer(data, "<u4", offset=first)):
        for row in rows.reshape(-1, LANES):
            halves = lanes.view("<u2")
            lanes = low.take(halves[0::2])
            lanes ^= high.take(halves[1::2])
            lanes ^= row
    for zeros in reversed(_zeros()[:-1]):
        middle = len(lanes) // 2
        lanes = _apply(zeros, lanes[:middle]) ^ lanes[middle:]
    return int(_apply(_zeros()[0], lanes)[0]) ^ 0xFFFFFFFF


@cache
def _zeros() -> list[np.ndarray]:
    """What 1, 2, 4, ... LANES words of zeros do to a checksum: where each of its 32 bits goes."""
    bits = [1 << bit for bit in range(32)]
    for _ in range(_WORD):
        bits = [value >> 8 ^ _TABLE[value & 0xFF] for value in bits]
    found = [np.array(bits, "<u4")]
    while 1 << (len(found) - 1) < LANES:
        found.append(_apply(found[-1], found[-1]))
    return found


@cache
def _row_tables() -> tuple[np.ndarray, np.ndarray]:
    """What a row of zeros makes of every lower and of every upper half of a checksum."""
    halves = np.arange(1 << 16, dtype="<u4")
    return _apply(_zeros()[-1], halves), _apply(_zeros()[-1], halves << np.uint32(16))


def _apply(where_bits_go: np.ndarray, values: np.ndarray) -> np.ndarray:
    out = np.zeros_like(values)
    for bit, image in enumerate(where_bits_go):
        out ^= image * (values >> np.uint32(bit) & np.uint32(1))
    return out


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()
