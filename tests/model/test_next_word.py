"""Next words scored on the device against the logits themselves."""

from __future__ import annotations

import numpy as np
import pytest

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError

ms = pytest.importorskip("mindspore")

from bert_ms.model import WithLoss, build  # noqa: E402 - mindspore must be quiet first
from bert_ms.model.heads.next_word import NextWordScorer  # noqa: E402

B, S, V = 3, 9, 40
SMALL = BertConfig(
    vocab_size=V, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
    max_position_embeddings=12, initializer_range=0.3,
)  # fmt: skip


def test_scores_are_those_of_the_next_words_logits(graph_mode):
    ms.set_seed(2)
    cell = build(SMALL, "causal-lm")
    ids = np.random.default_rng(3).integers(1, V, (B, S))
    mask = (np.arange(S) < np.array([[9], [6], [0]])).astype(int)
    logits = cell(*(ms.Tensor(a, ms.int32) for a in (ids, mask, 0 * ids))).asnumpy().astype(np.float64)
    ids[0, 4] = logits[0, 3].argmax()  # one that is right; it changes no logits before it
    labels = np.where(mask > 0, ids, -100)
    batch = [ms.Tensor(a, ms.int32) for a in (ids, mask, 0 * ids, labels)]
    logits = cell(*batch[:3]).asnumpy().astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    loss, correct, count = (output.asnumpy() for output in NextWordScorer(cell)(*batch))
    places = [[(s, ids[r, s + 1]) for s in range(mask[r].sum() - 1)] for r in range(B)]
    np.testing.assert_allclose(loss, [-sum(logs[r][at] for at in row) for r, row in enumerate(places)], rtol=1e-5)
    expected = [sum(logits[r, s].argmax() == w for s, w in row) for r, row in enumerate(places)]
    np.testing.assert_array_equal(correct, expected)
    np.testing.assert_array_equal(count, [8, 5, 0])
    assert correct[0] >= 1
    assert float(WithLoss(cell)(*batch)) == pytest.approx(loss.sum() / count.sum(), rel=1e-6)


def test_a_network_without_next_words_is_refused():
    with pytest.raises(ConfigError, match="MaskedLM predicts no next word: give a network of task causal-lm"):
        NextWordScorer(build(SMALL, "masked-lm", initialise=False))
