"""Hiding words: how many, which, behind what; and that all of it follows from seed, epoch and row."""

from __future__ import annotations

import numpy as np
import pytest

from bert_ms.config import PretrainingConfig
from bert_ms.data.pretraining import masking
from bert_ms.data.pretraining.draws import uniform
from bert_ms.data.pretraining.masking import Masked, Masker
from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer

WORDS = [f"w{i}" for i in range(95)]
TOKENIZER = Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
ROWS, LENGTH = 400, 64


def batch(rows: int = ROWS, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """[CLS] a [SEP] b [SEP] with random words, a third of the pieces inside words, and some padding."""
    random = np.random.default_rng(1)
    ids = random.integers(5, 100, (rows, length)).astype(np.int32)
    mask = (np.arange(length) < random.integers(length // 2, length + 1, (rows, 1))).astype(np.int32)
    ends = mask.sum(1) - 1
    ids[:, 0] = 2
    ids[np.arange(rows), ends] = ids[np.arange(rows), ends // 2] = 3
    ids[mask == 0] = 0
    inside = (random.random((rows, length)) < 0.33) & (ids > 3)
    inside[:, 1:] &= ids[:, :-1] > 3
    return ids, mask, inside, np.arange(rows)


def hide(epoch: int = 0, seed: int = 7, **config) -> tuple[Masked, tuple[np.ndarray, ...]]:
    given = batch()
    return Masker(TOKENIZER, PretrainingConfig(**config), seed=seed)(*given, epoch), given


def hidden_places(masked: Masked) -> np.ndarray:
    result = np.zeros((len(masked.labels), LENGTH), bool)
    rows, places = np.nonzero(masked.labels != -100)
    result[rows, masked.positions[rows, places]] = True
    return result


@pytest.mark.parametrize("unit", ["token", "word", "ngram"])
class TestEveryUnit:
    """What holds whatever is hidden together."""

    def test_eight_of_ten_are_masked_one_is_any_word_and_one_stays(self, unit: str) -> None:
        masked, (ids, *_) = hide(unit=unit)
        is_hidden = hidden_places(masked)
        new, old = masked.input_ids[is_hidden], ids[is_hidden]
        count = len(new)
        parts = [(new == 4).sum(), ((new != 4) & (new != old)).sum(), (new == old).sum()]
        expected = [0.8, 0.1 * 94 / 95, 0.1 + 0.1 / 95]
        for part, share in zip(parts, expected, strict=True):
            assert part / count == pytest.approx(share, abs=4 * (share * (1 - share) / count) ** 0.5)
        assert new.min() >= 4  # no special token stands in for a word

    def test_nothing_else_changes_and_labels_are_what_was_there(self, unit: str) -> None:
        masked, (ids, *_) = hide(unit=unit)
        is_hidden = hidden_places(masked)
        np.testing.assert_array_equal(masked.input_ids[~is_hidden], ids[~is_hidden])
        rows, places = np.nonzero(masked.labels != -100)
        np.testing.assert_array_equal(masked.labels[rows, places], ids[rows, masked.positions[rows, places]])
        assert ids[is_hidden].min() >= 5

    def test_as_many_are_hidden_as_googles_script_hides(self, unit: str) -> None:
        masked, (_, mask, *_) = hide(unit=unit)
        counts = (masked.labels != -100).sum(1)
        wanted = np.maximum(1, np.rint(mask.sum(1) * 0.15)).astype(int)
        assert (counts <= wanted).all()
        assert (counts == wanted).mean() > (0.999 if unit == "token" else 0.95)
        few, _ = hide(unit=unit, max_predictions_per_seq=3)
        assert few.labels.shape == (ROWS, 3) and (few.labels != -100).sum(1).max() == 3

    def test_positions_ascend_and_filling_stands_last(self, unit: str) -> None:
        masked, _ = hide(unit=unit)
        for positions, labels in zip(masked.positions, masked.labels, strict=True):
            count = (labels != -100).sum()
            assert (labels[:count] != -100).all() and (positions[count:] == 0).all()
            assert (np.diff(positions[:count]) > 0).all()

    def test_every_epoch_seed_and_row_has_masks_of_its_own(self, unit: str) -> None:
        one = hide(unit=unit)[0].positions
        np.testing.assert_array_equal(one, hide(unit=unit)[0].positions)
        for other in (hide(epoch=1, unit=unit)[0].positions, hide(seed=8, unit=unit)[0].positions):
            assert (one != other).any(axis=1).mean() > 0.99
        assert len(np.unique(one, axis=0)) > 0.99 * ROWS

    def test_a_row_is_masked_the_same_in_any_batch_and_at_any_padding(self, unit: str) -> None:
        ids, mask, inside, rows = batch()
        masker = Masker(TOKENIZER, PretrainingConfig(unit=unit), seed=7)
        together = masker(ids, mask, inside, rows, 3)
        chosen = np.array([17, 5, 300])
        wider = [np.pad(array[chosen], ((0, 0), (0, 16))) for array in (ids, mask, inside)]
        alone = masker(*wider, rows[chosen], 3)
        np.testing.assert_array_equal(alone.input_ids[:, :LENGTH], together.input_ids[chosen])
        width = together.labels.shape[1]
        np.testing.assert_array_equal(alone.labels[:, :width], together.labels[chosen])
        assert (alone.labels[:, width:] == -100).all()


@pytest.mark.parametrize("unit", ["word", "ngram"])
def test_whole_words_are_never_split(unit: str) -> None:
    masked, (_, _, inside, _) = hide(unit=unit)
    is_hidden = hidden_places(masked)
    assert (is_hidden[:, 1:] == is_hidden[:, :-1])[inside[:, 1:]].all()


def test_single_pieces_do_split_words() -> None:
    masked, (_, _, inside, _) = hide(unit="token")
    is_hidden = hidden_places(masked)
    assert (is_hidden[:, 1:] != is_hidden[:, :-1])[inside[:, 1:]].any()


def runs_of(is_hidden: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Words of each stretch of hidden pieces."""
    found = []
    for hidden, continues in zip(is_hidden, inside, strict=True):
        count = 0
        for place in range(LENGTH):
            if hidden[place]:
                count += not continues[place]
            elif count:
                found.append(count)
                count = 0
        found += [count] if count else []
    return np.array(found)


def test_ngrams_hide_words_in_stretches() -> None:
    lengths = {}
    for unit in ("word", "ngram"):
        masked, (_, _, inside, _) = hide(unit=unit, max_ngram=4)
        lengths[unit] = runs_of(hidden_places(masked), inside)
    assert lengths["word"].mean() < 1.3
    assert lengths["ngram"].mean() > 1.5
    assert (lengths["ngram"] >= 3).mean() > 0.1


def test_ngrams_stay_within_a_segment() -> None:
    masked, (ids, *_) = hide(unit="ngram", max_ngram=10, masked_lm_prob=0.5)
    assert not hidden_places(masked)[ids <= 3].any()


def test_lengths_of_ngrams_are_as_likely_as_one_over_n() -> None:
    lengths = masking._ngram_lengths(np.linspace(0, 1, 60_000, endpoint=False), 3)
    shares = np.bincount(lengths, minlength=4)[1:] / len(lengths)
    np.testing.assert_allclose(shares, np.array([6, 3, 2]) / 11, atol=1e-3)


def test_one_ngram_of_one_word_is_whole_word_masking() -> None:
    words, ngrams = hide(unit="word")[0], hide(unit="ngram", max_ngram=1)[0]
    np.testing.assert_array_equal(words.input_ids, ngrams.input_ids)


def test_a_row_without_words_hides_nothing() -> None:
    ids = np.array([[2, 3, 3, 0], [0, 0, 0, 0]], np.int32)
    masker = Masker(TOKENIZER, PretrainingConfig(), seed=1)
    masked = masker(ids, (ids > 0).astype(np.int32), np.zeros((2, 4), bool), np.arange(2), 0)
    np.testing.assert_array_equal(masked.input_ids, ids)
    assert (masked.labels == -100).all()


def test_a_vocabulary_without_mask_is_refused() -> None:
    with pytest.raises(TokenizerError, match=r"no \[MASK\]"):
        Masker(Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]), PretrainingConfig(), seed=1)


def test_draws_are_uniform_and_independent_of_their_neighbours() -> None:
    drawn = uniform(np.arange(2000), 50, 1, 2, 3)
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 50  # chi square of 19 degrees of freedom
    for axis in (0, 1):
        pairs = np.corrcoef(drawn.ravel(), np.roll(drawn, 1, axis).ravel())[0, 1]
        assert abs(pairs) < 0.015
    np.testing.assert_array_equal(drawn[7:9, :20], uniform(np.array([7, 8]), 20, 1, 2, 3))
