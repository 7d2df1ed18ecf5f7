"""Dropout masks that are a pure function of (seed, step, site, element index), in MindSpore operators and in numpy.

A counter-based hash: two 32-bit keys are mixed from seed, step and site, and every element index is mixed with both.
The mixing function is a multiply-xorshift finaliser (the constants 0x7FEB352D and 0x846CA68B with shifts 16, 15, 16 are
Chris Wellons' "lowbias32", found by search for low bias). The native operators compute the same bits.
All arithmetic is modulo 2**32; MindSpore has no CPU kernels for uint32, so int32 with masked shifts stands in.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

_FIRST, _SECOND, _SITE, _OTHER = 0x7FEB352D, 0x846CA68B, 0x9E3779B9, 0x85EBCA6B
_BITS = 24


def threshold(p: float) -> int:
    """Smallest 24-bit hash that is kept, for the probability `p` in [0, 1) of dropping an element."""
    return round(p * (1 << _BITS))


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


class KeepMask(nn.Cell):
    """Which of `count` elements a dropout site keeps at one step.

    Args:
        p: probability of dropping an element, in [0, 1).
        site: number of the dropout site in the network; sites with equal numbers get equal masks.
    """

    def __init__(self, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.threshold = threshold(p)
        self.site_key = Tensor(_signed(_SITE * (site + 1)), ms.int32)
        self.first, self.second = Tensor(_signed(_FIRST), ms.int32), Tensor(_signed(_SECOND), ms.int32)
        self.other = Tensor(_signed(_OTHER), ms.int32)
        self.shift = ops.RightShift()
        self.by8, self.by15, self.by16 = (Tensor(n, ms.int32) for n in (8, 15, 16))
        self.low24, self.low17, self.low16 = (Tensor((1 << n) - 1, ms.int32) for n in (24, 17, 16))
        self.xor, self.low = ops.BitwiseXor(), ops.BitwiseAnd()

    def construct(self, key: Tensor, count: int) -> Tensor:
        """Args: key int32 [2] = (seed, step); count a Python int. Returns: bool [count]."""
        first_key = self.mix(self.xor(self.mix(key[0] + self.site_key), key[1]))
        second_key = self.mix(first_key + self.other)
        x = ops.arange(0, count, 1, dtype=ms.int32) + first_key
        x = self.xor(x, self.low(self.shift(x, self.by16), self.low16)) * self.first
        x = self.xor(self.xor(x, self.low(self.shift(x, self.by15), self.low17)), second_key) * self.second
        x = self.xor(x, self.low(self.shift(x, self.by16), self.low16))
        return self.low(self.shift(x, self.by8), self.low24) >= self.threshold

    def mix(self, x: Tensor) -> Tensor:
        """The 32-bit finaliser."""
        x = self.xor(x, self.low(self.shift(x, self.by16), self.low16)) * self.first
        x = self.xor(x, self.low(self.shift(x, self.by15), self.low17)) * self.second
        return self.xor(x, self.low(self.shift(x, self.by16), self.low16))


def keep_mask(seed: int, step: int, site: int, count: int, p: float) -> Any:
    """The same mask in numpy: bool [count]. Reference for tests and for reproducing a run outside MindSpore."""

    def mix(x: Any) -> Any:
        x = (x ^ (x >> np.uint32(16))) * np.uint32(_FIRST)
        x = (x ^ (x >> np.uint32(15))) * np.uint32(_SECOND)
        return x ^ (x >> np.uint32(16))

    def word(value: int) -> Any:
        return np.array([value & 0xFFFFFFFF], np.uint32)

    first_key = mix(mix(word(seed + _SITE * (site + 1))) ^ word(step))
    second_key = mix(first_key + word(_OTHER))
    x = np.arange(count, dtype=np.uint32) + first_key
    x = (x ^ (x >> np.uint32(16))) * np.uint32(_FIRST)
    x = ((x ^ (x >> np.uint32(15))) ^ second_key) * np.uint32(_SECOND)
    x = x ^ (x >> np.uint32(16))
    return (x >> np.uint32(32 - _BITS)) >= threshold(p)
