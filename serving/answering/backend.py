"""What runs a request's rows: they go through the model's queue to its engine, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from bert_ms.records import Features

from ..engine.process import Hello
from ..scheduling.keeper import Keeper
from ..scheduling.rows import Limits, Row, Submission, row_of, row_of_ids, whole_row
from ..service import Call


class QueueBackend:
    """A `bert_ms.pipelines.backends.Backend` for one request.

    Args:
        keeper: of the engine.
        hello: what the engine said of its network.
        call: the request's circumstances.

    Attributes:
        asked: when the first rows were given to the queue, on the clock of `time.perf_counter`; 0.0 if none were.
        answered: when the last ones came back.
    """

    takes_any_shape = True  # whatever the shape, the queue makes batches of its own

    def __init__(self, keeper: Keeper, hello: Hello, call: Call):
        self.outputs, self.row_outputs = hello.outputs, hello.row_outputs
        self.asked = self.answered = 0.0
        self._keeper, self._call, self._takes_positions = keeper, call, hello.takes_positions
        self._limits = Limits(hello.config.vocab_size, hello.config.type_vocab_size, keeper.longest)

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs of input_ids, attention_mask, token_type_ids [B, S], and positions [B, P] of networks that take them.

        What lies behind a row's last token is 0 in outputs that are one a token.

        Raises:
            ServiceFault: ids that the network has not, or no answer.
        """
        ids, mask, types, *rest = arrays
        rows = [self._row(ids[i], mask[i], types[i], i, rest[0][i] if rest else None) for i in range(len(ids))]
        self._ask([row for some in rows for row in some])
        return tuple(self._padded(rows, name, ids.shape[1], rest) for name in self.outputs)

    def run_features(
        self, features: Features, owners: np.ndarray, *, positions: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Outputs of rows of any length by name: flat [T, ...] for those that are one a token, else [rows, ...].

        Args:
            features: the rows.
            owners: int [rows], the input that each belongs to.
            positions: int [rows, P] of gaps, 0 for none, of networks that take them.

        Raises:
            ServiceFault: ids that the network has not, or no answer.
        """
        splits = features.row_splits.tolist()
        rows = []
        for i, item in enumerate(owners.tolist()):
            part = slice(splits[i], splits[i + 1])
            ids, types = features.input_ids[part], features.token_type_ids[part]
            gaps = [0] if positions is None else _gaps(positions[i])
            rows.append([whole_row(ids, types, item=item, limits=self._limits, position=gap) for gap in gaps])
        self._ask([row for some in rows for row in some])
        found = {}
        for name in self.outputs:
            if positions is not None:
                found[name] = _stacked(rows, name, positions.shape[1])
            elif name in self.row_outputs:
                found[name] = np.stack([_output(some[0], name) for some in rows])
            else:
                found[name] = np.concatenate([_output(some[0], name) for some in rows])
        return found

    def vectors(self, ids: Sequence[Sequence[int]], owners: Sequence[int], name: str) -> list[np.ndarray]:
        """One output that is one a row, of each row.

        Args:
            ids: of the rows, with the special ones.
            owners: the input that each belongs to.
            name: of the output.

        Raises:
            ServiceFault: ids that the network has not, or no answer.
        """
        rows = [row_of_ids(one, item=item, limits=self._limits) for one, item in zip(ids, owners, strict=True)]
        self._ask(rows)
        return [_output(row, name) for row in rows]

    def _row(
        self, ids: np.ndarray, mask: np.ndarray, types: np.ndarray, item: int, positions: np.ndarray | None
    ) -> list[Row]:
        """A row; of a network that takes positions, once for each gap."""
        gaps = [0] if positions is None else _gaps(positions)
        return [row_of(ids, mask, types, item=item, limits=self._limits, position=gap) for gap in gaps]

    def _ask(self, rows: Sequence[Row]) -> None:
        self.asked = self.asked or time.perf_counter()
        self._keeper.answer(Submission(rows, self._call))
        self.answered = time.perf_counter()

    def _padded(self, rows: Sequence[Sequence[Row]], name: str, length: int, rest: Sequence[np.ndarray]) -> np.ndarray:
        if rest:
            return _stacked(rows, name, rest[0].shape[1])
        if name in self.row_outputs:
            return np.stack([_output(some[0], name) for some in rows])
        first = _output(rows[0][0], name)
        padded = np.zeros((len(rows), length, *first.shape[1:]), np.float32)
        for place, (row,) in enumerate(rows):
            padded[place, : len(row)] = _output(row, name)
        return padded


def _gaps(positions: np.ndarray) -> list[int]:
    return [int(position) for position in positions if position] or [0]


def _stacked(rows: Sequence[Sequence[Row]], name: str, width: int) -> np.ndarray:
    """Outputs [rows, P, ...] of gaps; 0 where there is none."""
    first = _output(rows[0][0], name)
    found = np.zeros((len(rows), width, *first.shape[1:]), np.float32)
    for place, some in enumerate(rows):
        for gap, row in enumerate(some):
            found[place, gap] = _output(row, name)[0]
    return found


def _output(row: Row, name: str) -> np.ndarray:
    assert row.outputs is not None, "a request that is answered has the outputs of every row"
    return row.outputs[name]
