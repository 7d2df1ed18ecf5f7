"""Cutting text into examples: what google's data script and RoBERTa's packing promise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import DataConfig, PretrainingConfig
from bert_ms.data.pretraining import corpus, examples
from bert_ms.data.pretraining.examples import FIRST, FIRST_LENGTH, IS_RANDOM, SECOND, SECOND_LENGTH
from bert_ms.tokenization import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(97 + i) for i in range(26))]
LONGEST = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> corpus.Corpus:
    """200 documents of 1 to 12 sentences of 1 to 40 words."""
    random = np.random.default_rng(0)
    lines = []
    for _ in range(200):
        for _ in range(random.integers(1, 13)):
            lines.append(" ".join(random.choice([*"abcdefgh"], random.integers(1, 41))))
        lines.append("")
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text("\n".join(lines))
    return corpus.load(path, Tokenizer.from_vocab(PIECES), DataConfig(storage="memory"), PretrainingConfig())


def cut(made: corpus.Corpus, **changes) -> np.ndarray:
    arguments = {"pairs": True, "max_length": LONGEST, "short_seq_prob": 0.0, "seed": 1, **changes}
    return np.concatenate(list(examples.cut(made, **arguments)))


def documents_of(made: corpus.Corpus, places: np.ndarray) -> np.ndarray:
    """The document that each place of the corpus is in."""
    return np.searchsorted(made.starts[made.documents[:-1]], places, side="right") - 1


class TestPairs:
    """Segment A with its own next segment, or with any other."""

    def test_fit_and_are_never_empty(self, made: corpus.Corpus) -> None:
        found = cut(made)
        total = found[:, FIRST_LENGTH] + found[:, SECOND_LENGTH]
        assert total.max() == LONGEST - 3
        assert found[:, [FIRST_LENGTH, SECOND_LENGTH]].min() >= 1

    def test_stay_within_one_document_each(self, made: corpus.Corpus) -> None:
        found = cut(made)
        for begin, length in ((FIRST, FIRST_LENGTH), (SECOND, SECOND_LENGTH)):
            ends = found[:, begin] + found[:, length] - 1
            np.testing.assert_array_equal(documents_of(made, found[:, begin]), documents_of(made, ends))
            places = np.concatenate([np.arange(b, e + 1) for b, e in zip(found[:, begin], ends, strict=True)])
            assert not (made.ids[places] == 3).any()

    def test_random_seconds_are_of_other_documents_and_real_ones_follow(self, made: corpus.Corpus) -> None:
        found = cut(made)
        is_same = documents_of(made, found[:, FIRST]) == documents_of(made, found[:, SECOND])
        np.testing.assert_array_equal(is_same, found[:, IS_RANDOM] == 0)
        follows = found[found[:, IS_RANDOM] == 0]
        gaps = follows[:, SECOND] - follows[:, FIRST] - follows[:, FIRST_LENGTH]
        assert gaps.min() >= 0  # more than 0 only where tokens were cut off
        is_whole = follows[:, FIRST_LENGTH] + follows[:, SECOND_LENGTH] < LONGEST - 3
        assert (gaps[is_whole] == 0).all()

    def test_half_of_those_that_have_a_choice_are_random(self, made: corpus.Corpus) -> None:
        longer = cut(made, max_length=128)
        several = longer[longer[:, FIRST_LENGTH] < 40]
        assert several[:, IS_RANDOM].mean() == pytest.approx(0.5, abs=0.2)
        # documents of one sentence have none
        alone = np.diff(made.documents) == 1
        is_alone = alone[documents_of(made, longer[:, FIRST])]
        assert is_alone.any() and (longer[is_alone][:, IS_RANDOM] == 1).all()

    def test_tokens_are_cut_from_both_ends(self, made: corpus.Corpus) -> None:
        found = cut(made)
        is_cut = found[:, FIRST_LENGTH] + found[:, SECOND_LENGTH] == LONGEST - 3
        begins = np.isin(found[is_cut][:, FIRST], made.starts)
        assert 0.05 < begins.mean() < 0.95

    def test_some_are_short_on_purpose(self, made: corpus.Corpus) -> None:
        def short(prob: float) -> float:
            found = cut(made, max_length=128, short_seq_prob=prob)
            return float((found[:, FIRST_LENGTH] + found[:, SECOND_LENGTH] < 60).mean())

        assert short(0.0) < short(0.5) < short(1.0)

    def test_follow_from_the_seed_and_the_copy(self, made: corpus.Corpus) -> None:
        np.testing.assert_array_equal(cut(made), cut(made))
        assert not np.array_equal(cut(made)[:50], cut(made, seed=2)[:50])
        twice = cut(made, copies=2)
        np.testing.assert_array_equal(twice[: len(cut(made))], cut(made))
        assert not np.array_equal(twice[-50:], cut(made)[-50:])

    def test_a_single_document_pairs_with_itself(self, made: corpus.Corpus) -> None:
        one = dataclasses.replace(made, documents=np.array([0, made.documents[1]]))
        found = cut(one)
        assert len(found) and documents_of(made, found[:, SECOND]).max() == 0


class TestPacked:
    """Full sentences, one after the other, across documents."""

    def test_hold_every_token_once_in_order(self, made: corpus.Corpus) -> None:
        found = cut(made, pairs=False)
        ids = np.concatenate([made.ids[begin : begin + length] for begin, length in found[:, [FIRST, FIRST_LENGTH]]])
        assert ids[ids != 3].tolist() == made.ids[made.ids != 3].tolist()
        assert found[:, [SECOND_LENGTH, IS_RANDOM]].max() == 0

    def test_are_as_long_as_whole_sentences_allow(self, made: corpus.Corpus) -> None:
        found = cut(made, pairs=False)
        ends = found[:, FIRST] + found[:, FIRST_LENGTH]
        assert found[:, FIRST_LENGTH].max() == LONGEST - 2
        stops = np.append(made.starts + made.lengths, 0)
        for end, begin in zip(ends[:-1], found[:-1, FIRST], strict=True):
            following = stops[np.searchsorted(made.starts, end)]
            is_cut = end not in stops
            assert is_cut or following - begin > LONGEST - 2

    def test_keep_separators_between_documents_but_not_at_the_ends(self, made: corpus.Corpus) -> None:
        found = cut(made, pairs=False)
        assert any((made.ids[begin : begin + length] == 3).any() for begin, length in found[:, :2])
        assert not (made.ids[found[:, FIRST]] == 3).any()
        assert not (made.ids[found[:, FIRST] + found[:, FIRST_LENGTH] - 1] == 3).any()


def test_googles_sample_text_gives_pairs_as_its_script_does(shared_data, tmp_path: Path) -> None:
    """Three documents with 31 sentences: masked pairs from ten copies, as the command of google's README makes them."""
    lines = shared_data("corpus/sample_text.txt").read_text(encoding="utf-8").lower()
    characters = sorted(set(lines) - set(" \n"))
    tokenizer = Tokenizer.from_vocab([*PIECES[:5], *characters, *(f"##{c}" for c in characters)])
    sample = corpus.load(
        shared_data("corpus/sample_text.txt"), tokenizer, DataConfig(storage="memory"), PretrainingConfig()
    )
    assert sample.document_count == 3
    found = cut(sample, max_length=128, short_seq_prob=0.1, copies=10)
    documents = [documents_of(sample, found[:, column]) for column in (FIRST, SECOND)]
    np.testing.assert_array_equal(documents[0] != documents[1], found[:, IS_RANDOM] == 1)
    assert set(documents[0]) == {0, 1, 2}
