"""What runs a network for a pipeline: one padded batch of arrays in, arrays out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

# MindSpore compiles and runs for one thread at a time: two Cells in two threads hang each other.
_ONE_AT_A_TIME = threading.Lock()


class Backend(Protocol):
    """A network that is ready to run.

    Attributes:
        outputs: names of what it returns, in order.
        row_outputs: those that are one a row [B, ...]; the others are one a token [B, S, ...].
    """

    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...]

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs of one batch: int32 input_ids, attention_mask, token_type_ids [B, S], then what the network takes
        beyond them."""


class CellBackend:
    """A Cell in this process; safe to call from several threads, which then wait for each other.

    Args:
        network: in evaluation mode.
        outputs: names of what it returns, in order; names beyond what it returns are left out.
        row_outputs: those that are one a row.
    """

    def __init__(self, network: Any, *, outputs: Sequence[str], row_outputs: Sequence[str] = ()):
        self.network, self.outputs, self.row_outputs = network, tuple(outputs), tuple(row_outputs)

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`."""
        import mindspore as ms

        with _ONE_AT_A_TIME:
            outputs = self.network(*(ms.Tensor(np.ascontiguousarray(array)) for array in arrays))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            return tuple(output.astype(ms.float32).asnumpy() for output in outputs)
