"""Word logits of an exported language model, which gives those of every position, at the positions that count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.pipelines.backends import Backend

MOST_NUMBERS = 1 << 26  # of word logits at once, 256 MB


def at_positions(logits: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Of logits [B, S, V] those at positions int [B, P] of each row, [B, P, V]."""
    return logits[np.arange(len(positions))[:, None], positions]


class PickedPositions:
    """A network that gives word logits of every position, as one of given positions alone.

    Args:
        backend: returns word logits [B, S, V] first.
    """

    outputs = ("logits",)
    row_outputs = ("logits",)

    def __init__(self, backend: Backend):
        self.backend, self.takes_any_shape = backend, backend.takes_any_shape

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Logits [B, P, V] of int32 input_ids, attention_mask, token_type_ids [B, S] and positions [B, P]."""
        *inputs, positions = arrays
        parts: list[np.ndarray] = []
        begin, size = 0, 1  # the first row alone says how large the others are
        while begin < len(positions):
            logits = self.backend.run([array[begin : begin + size] for array in inputs])[0]
            chosen = positions[begin : begin + size]
            parts.append(at_positions(logits, chosen))
            begin += size
            size = max(1, MOST_NUMBERS // int(np.prod(logits.shape[1:])))
        return (np.concatenate(parts),)
