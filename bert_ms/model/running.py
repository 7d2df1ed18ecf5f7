"""Running a Cell from numpy to numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mindspore as ms
import numpy as np


def run_cell(cell: Callable[..., Any], arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Outputs of a Cell, float32, in their order.

    Args:
        cell: called with a Tensor for each array; gives a Tensor or a flat tuple of them.
        arrays: in the order of its inputs.
    """
    outputs = cell(*(ms.Tensor(np.ascontiguousarray(array)) for array in arrays))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(output.astype(ms.float32).asnumpy() for output in outputs)
