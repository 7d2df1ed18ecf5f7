"""Choosing tokens: filters, greedy choice, drawing, beams; on a language model of a small table."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bert_ms.decoding import next_tokens
from bert_ms.decoding.generation import GenerationConfig, generate, with_settings
from bert_ms.errors import ConfigError, DataError
from tests.support import golden

V = 6


class Table:
    """A language model whose next word depends on the last two words alone; it checks how it is asked."""

    def __init__(self, seed: int = 0):
        self.logits = np.random.default_rng(seed).normal(0, 1.5, (V, V, V)).astype(np.float32)
        self.asked = 0

    def start(self, input_ids: np.ndarray, starts: np.ndarray, token_type_ids: np.ndarray, capacity: int) -> np.ndarray:
        self.rows = [list(row[start:]) for row, start in zip(input_ids, starts, strict=True)]
        return self.next()

    def advance(self, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        self.rows = [[*self.rows[parent], int(token)] for token, parent in zip(tokens, parents, strict=True)]
        return self.next()

    def next(self) -> np.ndarray:
        self.asked += 1
        return np.stack([self.logits[row[-2] if len(row) > 1 else 0, row[-1]] for row in self.rows])

    def probability(self, prompt: list[int], text: tuple[int, ...]) -> float:
        row, total = list(prompt), 0.0
        for token in text:
            logits = self.logits[row[-2] if len(row) > 1 else 0, row[-1]].astype(float)
            total += logits[token] - np.log(np.exp(logits).sum())
            row.append(token)
        return total


def run(prompts: list[list[int]], table: Table | None = None, **settings):
    width = max(map(len, prompts))
    ids = np.array([[0] * (width - len(p)) + p for p in prompts])
    mask = np.array([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    return generate(table or Table(), ids, mask, config=GenerationConfig(**settings))


@pytest.mark.parametrize("name", ["temperature", "top_k", "top_p", "top_p_small", "repetition_penalty"])
def test_a_filter_leaves_what_transformers_leaves(name: str) -> None:
    folder = golden("hf_bert_lmhead_generate")
    with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
        scores, seen, expected = inputs["scores"], inputs["seen"], outputs[f"filter.{name}"]
    ours = {
        "temperature": lambda: scores / np.float32(0.7),
        "top_k": lambda: next_tokens.keep_top_k(scores, 5),
        "top_p": lambda: next_tokens.keep_top_p(scores, 0.8),
        "top_p_small": lambda: next_tokens.keep_top_p(scores, 0.05),
        "repetition_penalty": lambda: next_tokens.penalise_repetition(scores, seen, 1.4),
    }[name]()
    np.testing.assert_array_equal(np.isinf(ours), np.isinf(expected))
    np.testing.assert_allclose(ours[np.isfinite(ours)], expected[np.isfinite(expected)], rtol=1e-6)


def test_all_texts_are_looked_at_when_there_are_beams_enough() -> None:
    table, prompt, end = Table(3), [2, 4], 5
    settings = {"eos_token_id": end, "length_penalty": 0.7, "num_return_sequences": 3}
    done = run([prompt], table, num_beams=250, max_new_tokens=4, **settings)
    texts = {t[: t.index(end) + 1] if end in t else t for t in itertools.product(range(V), repeat=4)}
    best = sorted(texts, key=lambda t: -table.probability(prompt, t) / len(t) ** 0.7)[:3]
    assert [tuple(row) for row in done.rows()] == best
    np.testing.assert_allclose(done.scores, [table.probability(prompt, t) / len(t) ** 0.7 for t in best], rtol=1e-6)


def test_one_beam_is_the_greedy_choice_and_scores_are_log_probabilities() -> None:
    table = Table(1)
    done = run([[1, 2], [3]], table, max_new_tokens=6)
    for prompt, row, score in zip([[1, 2], [3]], done.rows(), done.scores, strict=True):
        text = list(prompt)
        for token in row:
            assert token == table.logits[text[-2] if len(text) > 1 else 0, text[-1]].argmax()
            text.append(token)
        assert score == pytest.approx(table.probability(prompt, tuple(row)), rel=1e-6)


def test_rows_end_apart_and_nothing_is_asked_once_all_have() -> None:
    table = Table(1)
    free = run([[1, 2], [3, 1]], Table(1), max_new_tokens=8).rows()
    end = free[0][1]
    done = run([[1, 2], [3, 1]], table, max_new_tokens=8, eos_token_id=end, pad_token_id=9)
    for row, whole in zip(done.rows(), free, strict=True):
        assert row == (whole[: whole.index(end) + 1] if end in whole else whole)
    assert done.tokens.shape[1] == done.lengths.max() == table.asked
    assert all((row[length:] == 9).all() for row, length in zip(done.tokens, done.lengths, strict=True))


def test_padding_may_be_on_either_side() -> None:
    ids, mask = np.array([[1, 2, 0], [3, 4, 5]]), np.array([[1, 1, 0], [1, 1, 1]])
    right = generate(Table(), ids, mask, config=GenerationConfig(max_new_tokens=5))
    left = generate(Table(), ids[:, [2, 0, 1]][:1], mask[:, [2, 0, 1]][:1], config=GenerationConfig(max_new_tokens=5))
    assert right.rows()[0] == left.rows()[0]


def test_draws_follow_the_probabilities_and_the_seed() -> None:
    settings = {"do_sample": True, "max_new_tokens": 1, "temperature": 0.8, "top_k": 4}
    done = run([[1, 2]], num_return_sequences=4000, **settings)
    logits = Table().logits[1, 2] / 0.8
    kept = np.where(logits >= np.sort(logits)[-4], np.exp(logits), 0)
    share = np.bincount(done.tokens[:, 0], minlength=V) / 4000
    np.testing.assert_allclose(share, kept / kept.sum(), atol=0.03)
    again, other = (run([[1, 2]], num_return_sequences=50, seed=seed, **settings).rows() for seed in (0, 1))
    assert again == done.rows()[:50] != other


def test_a_rows_draws_do_not_depend_on_the_others() -> None:
    alone = run([[1, 2]], do_sample=True, max_new_tokens=9, seed=4).rows()
    both = run([[1, 2], [3, 3]], do_sample=True, max_new_tokens=9, seed=4).rows()
    assert both[0] == alone[0]


def test_a_draw_never_takes_what_was_removed() -> None:
    scores = np.array([[0.0, -np.inf, 1.0, -np.inf]])
    assert {int(next_tokens.draw(scores, np.array([c]))[0]) for c in (0.0, 0.2, 0.5, 0.9999999, 1.0)} == {0, 2}


def test_more_beams_than_the_vocabulary_offers_still_end() -> None:
    done = run([[1]], num_beams=20, max_new_tokens=3, num_return_sequences=20)
    assert len({tuple(row) for row in done.rows()}) == 20
    assert (np.diff(done.scores) <= 0).all()


@pytest.mark.parametrize(("settings", "text"), [
    ({"max_new_tokens": 0}, "max_new_tokens is 0: expected at least 1"),
    ({"temperature": 0.0}, "temperature is 0.0: expected more than 0"),
    ({"top_p": 1.5}, r"top_p is 1\.5: expected a share in \(0, 1\]"),
    ({"top_k": -1}, "top_k is -1: expected 0"),
    ({"do_sample": True, "num_beams": 2}, "do_sample with num_beams 2: beams are searched"),
    ({"num_return_sequences": 2}, "num_return_sequences is 2 with num_beams 1: .* Raise num_beams, or set do_sample"),
    ({"early_stopping": "soon"}, "early_stopping is 'soon': expected true, false or 'never'"),
])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings: dict, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        GenerationConfig(**settings)


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown generation setting 'max_tokens': did you mean 'max_new_tokens'"):
        with_settings(None, {"max_tokens": 5})


def test_prompts_that_cannot_be_continued_are_refused() -> None:
    config = GenerationConfig(max_new_tokens=3)
    with pytest.raises(DataError, match="prompt 1 has no token"):
        generate(Table(), np.ones((2, 3)), np.array([[1, 1, 1], [0, 0, 0]]), config=config)
    with pytest.raises(DataError, match="longest prompt has 3 tokens, and max_new_tokens is 3: the network has 5"):
        generate(Table(), np.ones((2, 3)), config=config, longest=5)
    with pytest.raises(DataError, match=r"prompts have the shape \[3\]: expected \[B, S\]"):
        generate(Table(), np.ones(3), config=config)
