"""The BiLSTM against its equations, and what masks and networks do with it."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint
from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError
from tests.support import golden

ms = pytest.importorskip("mindspore")

from bert_ms.model import build  # noqa: E402 - mindspore must be quiet first
from bert_ms.model.heads.lstm import BiLstm  # noqa: E402

B, S, H, W = 4, 7, 6, 5
CONFIG = BertConfig(
    vocab_size=20, hidden_size=H, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8,
    max_position_embeddings=8, num_labels=3, has_lstm=True, lstm_hidden_size=W,
)  # fmt: skip
GATES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
# Full; padded on the right; on the left and with a hole; without any token.
MASK = np.array([[1] * 7, [1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 1, 1], [0] * 7], np.int32)


def one_way(x: np.ndarray, weights: dict[str, np.ndarray], way: str) -> np.ndarray:
    """An LSTM over [T, H], equations of Hochreiter and Schmidhuber with forget gates, float64."""
    w = {name: weights[f"{name}_l0{way}"].astype(np.float64) for name in GATES}
    h = c = np.zeros(W)
    out = []
    for row in x:
        gates = w["weight_ih"] @ row + w["weight_hh"] @ h + w["bias_ih"] + w["bias_hh"]
        i, f, g, o = np.split(gates, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        out.append(h)
    return np.array(out).reshape(-1, W)


def test_tokens_are_read_from_both_ends_and_nothing_else_is(graph_mode):
    ms.set_seed(4)
    cell = BiLstm(CONFIG)
    weights = {p.name: p.asnumpy() * 3 for p in cell.get_parameters()}
    for p in cell.get_parameters():
        p.set_data(ms.Tensor(weights[p.name]))
    x = np.random.default_rng(2).normal(size=(B, S, H)).astype(np.float32)
    expected = np.zeros((B, S, 2 * W))
    for row, mask in enumerate(MASK):
        tokens = x[row][mask == 1].astype(np.float64)
        expected[row, mask == 1, :W] = one_way(tokens, weights, "")
        expected[row, mask == 1, W:] = one_way(tokens[::-1], weights, "_reverse")[::-1]
    got = cell(ms.Tensor(x), ms.Tensor(MASK)).asnumpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)
    changed = np.where(MASK[:, :, None] == 1, x, 9.0).astype(np.float32)
    np.testing.assert_array_equal(cell(ms.Tensor(changed), ms.Tensor(MASK)).asnumpy(), got)


def test_gradients_are_the_slopes_of_the_loss(graph_mode):
    ms.set_seed(4)
    cell = BiLstm(CONFIG)
    rng = np.random.default_rng(3)
    x, weigh = rng.normal(size=(B, S, H)).astype(np.float32), rng.normal(size=(B, S, 2 * W)).astype(np.float32)

    class Loss(ms.nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.cell = cell

        def construct(self, x, mask, weigh):
            return (self.cell(x, mask) * weigh).sum()

    weights = {p.name: p.asnumpy().astype(np.float64) for p in cell.get_parameters()}

    def loss(x: np.ndarray, weights: dict[str, np.ndarray]) -> float:
        total = 0.0
        for row, mask in enumerate(MASK):
            tokens = x[row][mask == 1]
            both = np.concatenate([one_way(tokens, weights, ""), one_way(tokens[::-1], weights, "_reverse")[::-1]], 1)
            total += float((both * weigh[row][mask == 1]).sum())
        return total

    of_x, of_weights = ms.value_and_grad(Loss(), 0, list(cell.get_parameters()))(*map(ms.Tensor, (x, MASK, weigh)))[1]
    step = 1e-5
    for name, gradient in [*zip(weights, of_weights, strict=True), ("x", of_x)]:
        direction = rng.normal(size=gradient.shape)
        moved = []
        for d in (step * direction, -step * direction):
            moved.append(loss(x + d, weights) if name == "x" else loss(x, {**weights, name: weights[name] + d}))
        slope = (moved[0] - moved[1]) / (2 * step)
        assert float((gradient.asnumpy() * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-4), name
    assert (of_x.asnumpy()[MASK == 0] == 0).all()


def test_one_mask_a_query_is_refused(pynative_mode):
    cell = build(CONFIG, "token-classification")
    ids = ms.Tensor(np.ones((B, S), np.int32))
    with pytest.raises(ValueError, match=r"a BiLSTM needs attention_mask \[B, S\]"):
        cell(ids, ms.Tensor(np.ones((B, S, S), np.int32)))


def test_a_file_tells_that_it_has_a_bilstm_and_of_what_width(tmp_path):
    shutil.copy(golden("modelzoo_ner_lstm") / "ner.ckpt", tmp_path)
    config = checkpoint.open_checkpoint(tmp_path / "ner.ckpt", num_attention_heads=4).config
    assert (config.has_lstm, config.lstm_hidden_size, config.lstm_width, config.num_labels) == (True, None, 16, 9)
    assert config.task == "token-classification"
    narrow = build(CONFIG, "token-classification")
    checkpoint.save(narrow, tmp_path / "zoo", format="modelzoo")
    again = checkpoint.open_checkpoint(tmp_path / "zoo", config=dataclasses.replace(CONFIG, lstm_hidden_size=None))
    assert again.config.lstm_hidden_size == W


def test_a_bilstm_is_of_token_classifiers_alone():
    assert not build(CONFIG, "sequence-classification", initialise=False).config.has_lstm
    new = bert_ms.from_pretrained(
        golden("hf_bert_model"), "token-classification", num_labels=4,
        config=dataclasses.replace(BertConfig.from_file(golden("hf_bert_model")), has_lstm=True),
    )  # fmt: skip
    lstm = {p.name for p in new.get_parameters() if p.name.startswith("lstm.")}
    assert len(lstm) == 8
    assert set(new.load_report.initialised) == {*lstm, "classifier.weight", "classifier.bias"}
    assert 0 < np.abs(new.lstm.weight_hh_l0.asnumpy()).max() <= 0.25  # 1 / sqrt(16)


def test_a_bilstm_without_width_is_refused():
    with pytest.raises(ConfigError, match="lstm_hidden_size is 0: expected at least 1"):
        BertConfig(has_lstm=True, lstm_hidden_size=0)
