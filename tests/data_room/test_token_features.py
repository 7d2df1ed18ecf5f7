"""Every word is judged once, by its first token, whatever windows its sentence is cut into."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from bert_ms.data.token_features import featurize
from bert_ms.errors import DataError
from bert_ms.records import IGNORE_INDEX, LABELS, SILENT_WORDS, Features, TokenExample
from bert_ms.tokenization import Tokenizer
from tests.support import golden, shared_data

LETTERS = Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh")])
LABELS_ = ("O", "B-X", "I-X")


def example(*words: str, tags: tuple[str, ...] | None = None) -> TokenExample:
    return TokenExample("0", words, tags)


def rows_of(features: Features) -> list[str]:
    splits = features.row_splits
    return [" ".join(LETTERS.tokens(features.input_ids[a:b])) for a, b in pairwise(splits)]


def judged(features: Features) -> list[str]:
    return LETTERS.tokens(features.input_ids[np.flatnonzero(features.in_context)])


def test_tokens_equal_those_of_hugging_face() -> None:
    tokenizer = Tokenizer.from_vocab(shared_data("vocab/bert-base-uncased-vocab.txt"))
    cases = json.loads(golden("tokenization/words_uncased.json").read_text(encoding="utf-8"))
    assert len(cases) == 9
    features = featurize([example(*case["words"]) for case in cases], tokenizer, max_length=128)
    total = 0
    for row, case in enumerate(cases):
        part = slice(features.row_splits[row], features.row_splits[row + 1])
        assert features.input_ids[part].tolist() == case["input_ids"]
        word_ids = case["word_ids"]
        firsts = [at for at, word in enumerate(word_ids) if word is not None and word not in word_ids[:at]]
        assert np.flatnonzero(features.in_context[part]).tolist() == firsts
        silent = {total + at for at in range(len(case["words"]))} - {total + word_ids[at] for at in firsts}
        assert silent <= set(features.meta[SILENT_WORDS])
        total += len(case["words"])
    assert len(features.meta[SILENT_WORDS]) == 2


def test_the_first_token_of_a_word_has_its_label_and_all_others_none() -> None:
    features = featurize(
        [example("ab", "c", "def", tags=("B-X", "I-X", "O")), example("g", tags=("O",))], LETTERS, labels=LABELS_
    )
    assert rows_of(features) == ["[CLS] a ##b c d ##e ##f [SEP]", "[CLS] g [SEP]"]
    no = IGNORE_INDEX
    assert features.labels[LABELS].tolist() == [no, 1, no, 2, 0, no, no, no, no, 0, no]
    assert features.labels[LABELS].dtype == np.int32
    assert judged(features) == ["a", "c", "d", "g"]
    assert features.example_index.tolist() == [0, 1]
    assert not features.token_type_ids.any()


def test_windows_share_tokens_and_each_judges_the_words_with_most_around_them() -> None:
    features = featurize([example(*"abcdefgh", tags=("O",) * 8)], LETTERS, max_length=8, stride=4, labels=LABELS_)
    assert rows_of(features) == ["[CLS] a b c d e f [SEP]", "[CLS] d e f g h [SEP]"]
    assert judged(features) == list("abcdefgh")
    splits = features.row_splits
    assert int(features.in_context[: splits[1]].sum()) == 5
    assert (features.labels[LABELS] == 0).sum() == 8


def test_windows_begin_and_end_between_words() -> None:
    features = featurize([example("abc", "def", "gh", "ab")], LETTERS, max_length=8, stride=2)
    assert rows_of(features) == ["[CLS] a ##b ##c d ##e ##f [SEP]", "[CLS] g ##h a ##b [SEP]"]
    assert judged(features) == ["a", "d", "g", "a"]


def test_of_a_word_longer_than_a_window_the_end_is_cut() -> None:
    features = featurize([example("a", "abcdefghabcdefgh", "b")], LETTERS, max_length=8, stride=3)
    assert rows_of(features) == ["[CLS] a [SEP]", "[CLS] a ##b ##c ##d ##e ##f [SEP]", "[CLS] b [SEP]"]
    assert judged(features) == ["a", "a", "b"]


def test_words_without_a_token_are_counted_and_left_out() -> None:
    examples = [example("a", "\ufe0f", "b"), example(" "), example("", "c")]
    features = featurize(examples, LETTERS)
    assert features.meta[SILENT_WORDS] == [1, 3, 4]
    assert rows_of(features) == ["[CLS] a b [SEP]", "[CLS] [SEP]", "[CLS] c [SEP]"]


@pytest.mark.parametrize("seed", range(6))
def test_no_word_is_lost_or_judged_twice(seed: int) -> None:
    random = np.random.default_rng(seed)
    letters = list("abcdefgh")
    examples = [
        example(*("".join(random.choice(letters, random.integers(0, 9))) for _ in range(random.integers(1, 60))))
        for _ in range(20)
    ]
    max_length, stride = int(random.integers(3, 24)), int(random.integers(0, 30))
    features = featurize(examples, LETTERS, max_length=max_length, stride=stride)
    assert features.lengths().max() <= max_length
    words = [word for e in examples for word in e.words]
    assert judged(features) == [word[0] for word in words if word]
    assert features.meta[SILENT_WORDS] == [at for at, word in enumerate(words) if not word]
    assert (np.diff(features.example_index) >= 0).all() and set(features.example_index) == set(range(20))


def test_tags_without_a_label_and_sentences_without_tags_are_refused() -> None:
    with pytest.raises(DataError, match="sentence '0' has the tag 'B-Y', expected one of O, B-X, I-X"):
        featurize([example("a", tags=("B-Y",))], LETTERS, labels=LABELS_)
    with pytest.raises(DataError, match="sentence '0' has no tags to learn"):
        featurize([example("a")], LETTERS, labels=LABELS_)
    with pytest.raises(DataError, match="max_length is 2, expected more than the 2 special tokens"):
        featurize([example("a")], LETTERS, max_length=2)
