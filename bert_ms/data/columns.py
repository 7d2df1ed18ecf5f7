"""One column of a data set's rows, wherever those are kept."""

from __future__ import annotations

import numpy as np

from bert_ms.data.loader import RowSource
from bert_ms.records import Features

_ROWS_AT_A_TIME = 4096


def column(rows: Features | RowSource, name: str) -> np.ndarray:
    """The labels called `name` of all rows, flat: [rows] or, one a token, [T].

    Args:
        rows: in memory, or streamed from files.
        name: of the column, a key of `Features.labels`.
    """
    if isinstance(rows, Features):
        return rows.labels[name]
    count = len(rows.lengths())
    parts = [np.arange(at, min(at + _ROWS_AT_A_TIME, count)) for at in range(0, count, _ROWS_AT_A_TIME)]
    return np.concatenate([features.labels[name] for features in rows.stream(parts)])
