"""Calling an exported operator as MindSpore does, without MindSpore."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np


def call(
    function: ctypes._CFuncPtr, inputs: Sequence[np.ndarray], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """Outputs of these shapes, float32, as MindSpore would ask for them."""
    outputs = [np.full(shape, np.nan, np.float32) for shape in shapes]
    arrays = [*(np.ascontiguousarray(array) for array in inputs), *outputs]
    count = len(arrays)
    data = (ctypes.c_void_p * count)(*(array.ctypes.data for array in arrays))
    ranks = (ctypes.c_int * count)(*(array.ndim for array in arrays))
    sizes = [(ctypes.c_int64 * array.ndim)(*array.shape) for array in arrays]
    pointers = (ctypes.POINTER(ctypes.c_int64) * count)(
        *(ctypes.cast(size, ctypes.POINTER(ctypes.c_int64)) for size in sizes)
    )
    assert function(count, data, ranks, pointers, None, None, None) == 0
    return outputs
