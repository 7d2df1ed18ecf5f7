"""One column of all rows, from memory and from a source that streams."""

from __future__ import annotations

import numpy as np
import pytest

from bert_ms.data.columns import column
from bert_ms.data.loader import InMemory
from bert_ms.records import Features


@pytest.mark.parametrize("per_token", [False, True])
def test_a_streamed_column_is_the_one_in_memory(per_token):
    lengths = np.random.default_rng(2).integers(1, 4, 5000)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.arange(splits[-1], dtype=np.int32)
    labels = tokens if per_token else np.arange(5000, dtype=np.int32)
    features = Features(tokens, tokens * 0, splits, {"labels": labels})
    np.testing.assert_array_equal(column(InMemory(features), "labels"), labels)
    np.testing.assert_array_equal(column(features, "labels"), labels)
