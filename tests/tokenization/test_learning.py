"""Learning word pieces from text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer
from bert_ms.tokenization.learning import learn
from tests.support import shared_data

TEXTS = ["the lower the slower", "Lower and lowest, slow and slowest", "今天 今天 天气"] * 3


def test_special_tokens_come_first_then_characters_then_pieces_that_are_frequent() -> None:
    words = learn(TEXTS, size=90).vocabulary
    assert words[:5] == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    plain = [word.removeprefix("##") for word in words[5:]]
    characters = [len(piece) == 1 for piece in plain]
    assert characters == sorted(characters, reverse=True) and {"今", "天", "##o"} <= set(words)
    assert "the" in words and "L" not in words


def test_chinese_characters_take_one_piece_each_and_leave_room_for_what_is_joined() -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    words = learn([characters + " 2024 2024 2025"] * 2, size=200).vocabulary
    alone = [word for word in words if word in characters]
    pieces = 2 * len(set("2024" + "2025"))  # a digit is joined to others: one piece to begin a word, one inside it
    assert len(alone) == 195 - 19 - pieces and "2024" in words


def test_the_same_text_gives_the_same_vocabulary() -> None:
    lines = shared_data("corpus/sample_text.txt").read_text(encoding="utf-8").splitlines()
    first = learn(lines, size=400).vocabulary
    assert len(first) == 400
    assert all(learn(lines, size=400).vocabulary == first for _ in range(3))


def test_everything_in_the_text_can_be_spelt_and_read_back(tmp_path: Path) -> None:
    tokenizer = learn(TEXTS, size=100, do_lower_case=False)
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path / "vocab.txt")
    assert again.fingerprint() == tokenizer.fingerprint()
    for text in TEXTS:
        ids = again.encode(text).input_ids
        assert again.unk_token_id not in ids
        assert again.decode(ids[1:-1]).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("texts", "size", "message"), [([], 100, "hold no words"), (TEXTS, 9, "size is 9: expected at least 10")]
)
def test_what_cannot_be_learned_is_explained(texts: list[str], size: int, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        learn(texts, size=size)
