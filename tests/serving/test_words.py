"""Ids of texts whose words are known: those that the tokenizer gives, or none."""

from __future__ import annotations

import random
import string

import pytest

from bert_ms.tokenization import Tokenizer
from serving.answering import Words, words
from tests import tiny

CHARACTERS = string.ascii_letters + string.digits + string.punctuation
OTHERS = ["Kings", "don't", "x" * 30, "", "", "e.g.,", "1805-06", "a" * 120]


def read(known: Words, tokenizer: Tokenizer, text: str) -> None:
    found = tokenizer.encode(text)
    known.learn(text, found.input_ids, found.offsets)


def texts(rng: random.Random, count: int) -> list[str]:
    """Words of the vocabulary and others, among them signs and letters by chance, and several blanks in a row."""
    chance = random.Random(0)
    noise = ["".join(chance.choices(CHARACTERS, k=chance.randint(1, 5))) for _ in range(60)]
    pieces = [*tiny.vocabulary()[5:], *OTHERS, *noise]
    return [" ".join(rng.choices(pieces, k=rng.randint(1, 8))) for _ in range(count)]


@pytest.mark.parametrize("is_lower", [True, False])
def test_a_text_of_known_words_has_the_tokenizers_ids(is_lower: bool) -> None:
    tokenizer = Tokenizer.from_vocab(tiny.vocabulary(), do_lower_case=is_lower)
    known, rng = Words(tokenizer), random.Random(1)
    for text in texts(rng, 1000):
        read(known, tokenizer, text)
    found = [(text, known.ids(text)) for text in texts(rng, 300) + ["", " ", "  "]]
    told = [(text, ids) for text, ids in found if ids is not None]
    assert 50 < len(told) < 290
    for text, ids in told:
        assert ids == tokenizer.encode(text).input_ids, text


@pytest.mark.parametrize(
    "text", ["the [MASK]", "the caf\u00e9", "the\nking", "the\tking", "the \u738b", "the\x00", "<the>"]
)
def test_what_is_not_plain_is_left_to_the_tokenizer(text: str) -> None:
    tokenizer = Tokenizer.from_vocab(tiny.vocabulary())
    known = Words(tokenizer)
    read(known, tokenizer, text)
    assert known.ids(text) is None


def test_a_tokenizer_with_a_plain_word_that_is_kept_whole_is_always_asked() -> None:
    vocabulary = [*tiny.vocabulary(), "New"]
    tokenizer = Tokenizer.from_vocab(vocabulary, never_split=["New"])
    known = Words(tokenizer)
    read(known, tokenizer, "the New one")
    assert known.ids("the New one") is None


def test_words_are_forgotten_when_they_become_too_many_and_long_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MOST_WORDS", 4)
    tokenizer = Tokenizer.from_vocab(tiny.vocabulary())
    known = Words(tokenizer)
    read(known, tokenizer, "a b c")
    assert known.ids("c b a") is not None
    read(known, tokenizer, "d")
    assert known.ids("d") is not None and known.ids("a") is None
    read(known, tokenizer, "a" * (words.LONGEST_WORD + 1))
    assert known.ids("a" * (words.LONGEST_WORD + 1)) is None
