"""A row whose answer is known: what tells an engine that computes from one that only runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ..engine.shapes import Shape

LENGTH = 16  # tokens of it, or less where no more fit into every shape
TOLERANCE = 1e-4
# Half precision sums in another order from shape to shape. In int8 a difference in the last bit could round to another
# integer, but there is none: what stands before a rounding depends on the row alone.
HALF_TOLERANCE = 3e-2


class Canary:
    """A row of ids from all over the vocabulary, with the outputs that it had at the first warm-up.

    Args:
        vocab_size: of the network.
        row_outputs: names of the outputs that are one a row.
        with_positions: the network takes the place of a gap.
        is_half: it computes in half precision.
        length: tokens of the row; at most those of the shortest shape.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        row_outputs: Collection[str],
        with_positions: bool = False,
        is_half: bool = False,
        length: int = LENGTH,
    ):
        self._length = length
        self._vocab_size, self._row_outputs, self._with_positions = vocab_size, row_outputs, with_positions
        self._tolerance = HALF_TOLERANCE if is_half else TOLERANCE
        self._golden: dict[str, np.ndarray] | None = None

    def arrays(self, shape: Shape) -> dict[str, np.ndarray]:
        """The inputs of a batch of it."""
        ids, mask = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
        ids[:, : self._length] = (np.arange(self._length) * 7919 + 1) % self._vocab_size
        mask[:, : self._length] = 1
        arrays = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return {**arrays, "positions": np.ones((shape[0], 1), np.int32)} if self._with_positions else arrays

    def problem(self, outputs: Mapping[str, np.ndarray]) -> str | None:
        """What is wrong with the outputs of its first row; None is well. The first that are finite become golden."""
        found = {
            name: np.array(values[0] if name in self._row_outputs else values[0, : self._length])
            for name, values in outputs.items()
        }
        bad = [name for name, values in found.items() if not np.isfinite(values).all()]
        if bad:
            return f"{', '.join(bad)} of the canary is not finite"
        if self._golden is None:
            self._golden = found
            return None
        for name, golden in self._golden.items():
            if name not in found or found[name].shape != golden.shape:
                return f"{name} of the canary is missing, or of another shape than it was"
            difference = float(np.abs(found[name] - golden).max())
            if difference > self._tolerance * max(1.0, float(np.abs(golden).max())):
                return f"{name} of the canary differs by {difference:.2g} from what it was"
        return None
