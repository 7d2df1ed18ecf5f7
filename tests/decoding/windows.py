"""Windows for decoding tests, made by hand: token i of the context covers the i-th word."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bert_ms.records import Features, QuestionExample

QUESTION = 2  # question tokens of each window: [CLS] q q [SEP] context [SEP]
FIRST = QUESTION + 2


def example(context: str, identity: str = "q") -> QuestionExample:
    return QuestionExample(id=identity, question="who ?", context=context)


def windows(examples: Sequence[QuestionExample], spans: Sequence[tuple[int, int, int]]) -> Features:
    """Features of windows (example, first word, word after the last)."""
    ids, splits, offsets, usable = [], [0], [], []
    for index, low, high in spans:
        words = [match.span() for match in re.finditer(r"\S+", examples[index].context)][low:high]
        ids += [101, 7, 8, 102, *range(1000 + low, 1000 + high), 102]
        offsets += [(0, 0)] * FIRST + words + [(0, 0)]
        usable += [0] * FIRST + [1] * len(words) + [0]
        splits.append(len(ids))
    return Features(
        input_ids=np.array(ids, np.int32),
        token_type_ids=np.zeros(len(ids), np.int32),
        row_splits=np.array(splits, np.int64),
        example_index=np.array([index for index, _, _ in spans], np.int32),
        offsets=np.array(offsets, np.int32).reshape(-1, 2),
        in_context=np.array(usable, np.int8),
    )
