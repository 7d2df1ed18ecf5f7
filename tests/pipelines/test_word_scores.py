"""Words are judged from an exported network's logits as by the scorers of the Cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bert_ms import compat, tasks
from bert_ms.config import BertConfig
from bert_ms.model import build
from bert_ms.pipelines import word_scores

ROWS, TOKENS, GAPS, WORDS = 3, 8, 4, 50


def arrays_for(task: str) -> list[np.ndarray]:
    """What the task's scorer takes; the last row is filling."""
    rng = np.random.default_rng(1)
    lengths = np.array([TOKENS, 5, 0])
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int32)
    ids = rng.integers(5, WORDS, (ROWS, TOKENS), np.int32) * mask
    inputs = [ids, mask, np.zeros_like(ids)]
    if task == "causal-lm":
        return [*inputs, np.where(mask > 0, ids, -100).astype(np.int32)]
    positions = np.array([[1, 3, 6, 0], [2, 4, 99, 99], [0, 0, 0, 0]], np.int32)
    labels = np.array([[7, 8, 9, -100], [7, 8, -100, -100], [-100] * GAPS], np.int32)
    follows = [np.array([0, 1, -100], np.int32)] if task == "pretraining" else []
    return [*inputs, positions, labels, *follows]


@pytest.mark.parametrize("task", ["masked-lm", "pretraining", "causal-lm"])
def test_scores_are_those_of_the_cell(task: str, pynative_mode: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ms: Any = compat.mindspore()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    network = build(BertConfig(**sizes, vocab_size=WORDS, max_position_embeddings=16, initializer_range=0.4), task)

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = network(*map(ms.Tensor, arrays))
        return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]

    row, arrays = tasks.get(task), arrays_for(task)
    expected = [output.asnumpy() for output in row.evaluated(network)(*map(ms.Tensor, arrays))]
    for most in (1 << 26, TOKENS * WORDS):  # all rows at once, and one by one
        monkeypatch.setattr(word_scores, "MOST_NUMBERS", most)
        found = word_scores.WordScores(run, row, vocab_size=WORDS)(arrays)
        assert len(found) == len(expected) == len(row.outputs)
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert expected[0][0] > 0
    assert found[0][2] == 0
