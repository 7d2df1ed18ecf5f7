"""Encoding, saving, and the errors of both."""

from __future__ import annotations

import json
import logging
import pickle
import time
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer, TokenizerOptions
from tests.support import minilm, shared_data

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "play",
    "##ing",
    "the",
    "game",
    "a",
    "b",
    "c",
    "d",
    "e",
    "中",
    ".",
]


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return Tokenizer.from_vocab(WORDS)


def _places(tokenizer: Tokenizer, text: str) -> list[str]:
    return [text[start:end] for start, end in tokenizer.encode(text).offsets[1:-1]]


def test_a_text_and_a_pair_are_laid_out_as_bert_has_them(small: Tokenizer) -> None:
    one, two = small.encode("Playing"), small.encode("a", "the game")
    assert small.tokens(one.input_ids) == ["[CLS]", "play", "##ing", "[SEP]"]
    assert one.sequence_ids == [None, 0, 0, None]
    assert small.tokens(two.input_ids) == ["[CLS]", "a", "[SEP]", "the", "game", "[SEP]"]
    assert two.token_type_ids == [0, 0, 0, 1, 1, 1]
    assert two.attention_mask == [1] * 6
    assert two.sequence_ids == [None, 0, None, 1, 1, None]
    assert two.offsets == [(0, 0), (0, 1), (0, 0), (0, 3), (4, 8), (0, 0)]


def test_offsets_count_code_points_of_the_text_as_given(small: Tokenizer) -> None:
    assert _places(small, "😀 Playíng  中.") == ["😀", "Play", "íng", "中", "."]


def test_special_ids_are_the_vocabularys(small: Tokenizer) -> None:
    ids = (small.pad_token_id, small.unk_token_id, small.cls_token_id, small.sep_token_id, small.mask_token_id)
    assert ids == (0, 1, 2, 3, 4)
    assert small.vocab_size == len(WORDS)
    assert small.token_to_id("game") == 8
    assert small.token_to_id("chess") is None
    with pytest.raises(TokenizerError, match=r"the vocabulary \(4 word pieces\) has no \[MASK\]"):
        _ = Tokenizer.from_vocab(WORDS[:4]).mask_token_id


@pytest.mark.parametrize(
    ("truncation", "expected"),
    [
        ("longest_first", "[CLS] a b [SEP] a b [SEP]"),
        ("only_first", "[CLS] a [SEP] a b c [SEP]"),
        ("only_second", "[CLS] a b c d [SEP] [SEP]"),
    ],
)
def test_truncation_cuts_where_it_is_told(small: Tokenizer, truncation: Any, expected: str) -> None:
    got = small.encode("a b c d", "a b c", max_length=7, truncation=truncation)
    assert " ".join(small.tokens(got.input_ids)) == expected


def test_windows_over_one_text_share_the_stride(small: Tokenizer) -> None:
    windows = small.encode("a b c d e", max_length=5, stride=1)
    assert [" ".join(small.tokens(w.input_ids[1:-1])) for w in windows] == ["a b c", "c d e"]
    assert len(small.encode("a", max_length=5, stride=1)) == 1


def test_windows_over_the_first_of_a_pair(small: Tokenizer) -> None:
    windows = small.encode("a b c d", "e", max_length=6, stride=1, truncation="only_first")
    assert [" ".join(small.tokens(w.input_ids)) for w in windows] == [
        "[CLS] a b [SEP] e [SEP]", "[CLS] b c [SEP] e [SEP]", "[CLS] c d [SEP] e [SEP]",
    ]  # fmt: skip


def test_padding_goes_to_either_side(small: Tokenizer) -> None:
    encoding = small.encode("a")
    assert small.pad(encoding, 5).input_ids == [2, 9, 3, 0, 0]
    left = small.pad(encoding, 5, side="left")
    assert left.input_ids == [0, 0, 2, 9, 3]
    assert left.attention_mask == [0, 0, 1, 1, 1]
    assert left.sequence_ids == [None, None, None, 0, None]
    assert small.pad(encoding, 2) == encoding


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"max_length": 5},
            r"the text has 4 tokens, with special tokens 6, more than max_length 5\. Shorten the text, or",
        ),
        (
            {"pair": "a b", "max_length": 8},
            r"the texts have 4 and 2 tokens, with special tokens 9, more than max_length 8",
        ),
        (
            {"pair": "a", "max_length": 6, "truncation": "only_second"},
            "another truncation than 'only_second', which cannot",
        ),
        (
            {"max_length": 5, "truncation": "only_second"},
            "another truncation than 'only_second', which cannot cut enough",
        ),
        (
            {"truncation": "middle"},
            "truncation is 'middle', expected one of error, longest_first, only_first, only_second",
        ),
        ({"max_length": 1}, "max_length is 1, expected at least 2, for the special tokens alone"),
        ({"stride": 2}, "stride is 2 with max_length None: expected 0 or more, and a max_length"),
        ({"stride": -1, "max_length": 9}, "stride is -1 with max_length 9"),
        ({"stride": 2, "max_length": 4}, "a window has room for 2 tokens of the text, not more than the stride 2"),
        (
            {"pair": "a b c d", "stride": 1, "max_length": 9, "truncation": "longest_first"},
            "stride with truncation='longest_first' does not say which text",
        ),
    ],
)
def test_what_cannot_be_encoded_is_explained(small: Tokenizer, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        small.encode("a b c d", **arguments)


def test_texts_that_are_none_are_refused(small: Tokenizer) -> None:
    with pytest.raises(
        TokenizerError, match=r"the text is no valid Unicode: half a surrogate pair, U\+D800, at character 1"
    ):
        small.encode("a\ud800b")
    with pytest.raises(TokenizerError, match="text 1 is int, expected str"):
        small.encode_batch(["a", 7])  # type: ignore[list-item]
    with pytest.raises(TokenizerError, match="text 2 is no valid Unicode"):
        small.encode_batch(["a", "b", "\udfff"])
    with pytest.raises(TokenizerError, match="texts is one str, 'a b': expected a list of them"):
        small.encode_batch("a b")
    with pytest.raises(TokenizerError, match="2 texts but 1 pairs: expected one pair for each text"):
        small.encode_batch(["a", "b"], ["c"])


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "a\u0301" * 50_000, "中" * 100_000, "a." * 50_000, "[" * 100_000, "\0" * 100_000, " " * 100_000],
)
def test_long_texts_take_linear_time(small: Tokenizer, text: str) -> None:
    small.encode(text[:10])
    start = time.perf_counter()
    encoding = small.encode(text)
    assert time.perf_counter() - start < 5  # measured: under 0.2 s; quadratic would take minutes
    assert len(encoding.input_ids) <= 100_002


def test_never_split_keeps_words_whole() -> None:
    tokenizer = Tokenizer.from_vocab([*WORDS, "C++"], never_split=["C++"])
    assert tokenizer.tokens(tokenizer.encode("the C++ game").input_ids[1:-1]) == ["the", "C++", "game"]
    with pytest.raises(TokenizerError, match=r"lacks 'C\+\+', to be kept whole"):
        Tokenizer.from_vocab(WORDS, never_split=["C++"])


def test_the_embedding_table_must_fit_the_vocabulary(small: Tokenizer, caplog: pytest.LogCaptureFixture) -> None:
    small.check_against(len(WORDS))
    with caplog.at_level(logging.INFO):
        small.check_against(len(WORDS) + 127)
    assert "the embedding table has 127 rows more than the vocabulary" in caplog.text
    for rows in (len(WORDS) - 1, len(WORDS) + 128):
        with pytest.raises(TokenizerError, match=f"has 16 word pieces but the embedding table {rows} rows"):
            small.check_against(rows)


def test_the_fingerprint_tells_what_decides_ids() -> None:
    tokenizers = [
        Tokenizer.from_vocab(WORDS),
        Tokenizer.from_vocab(WORDS, do_lower_case=False),
        Tokenizer.from_vocab(WORDS, strip_accents=False),
        Tokenizer.from_vocab([*WORDS, "x"]),
        Tokenizer.from_vocab(WORDS, never_split=["game"]),
    ]
    assert len({tokenizer.fingerprint() for tokenizer in tokenizers}) == len(tokenizers)
    assert Tokenizer(WORDS, TokenizerOptions(model_max_length=512)).fingerprint() == tokenizers[0].fingerprint()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False, "strip_accents": True},
        {"tokenize_chinese_chars": False, "never_split": ("game",), "model_max_length": 512},
        {"clean_text": False, "max_input_chars_per_word": 50, "additional_special_tokens": ("c",)},
    ],
)
def test_saved_and_read_again_is_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    tokenizer = Tokenizer([*WORDS, "\u2028"], TokenizerOptions(**options))
    tokenizer.save(tmp_path)
    again = Tokenizer.from_pretrained(tmp_path)
    assert again.options == tokenizer.options
    assert again.vocabulary == tokenizer.vocabulary
    assert again.fingerprint() == tokenizer.fingerprint()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    (tmp_path / "vocab.txt").unlink()
    assert Tokenizer.from_pretrained(tmp_path).fingerprint() == tokenizer.fingerprint()
    assert pickle.loads(pickle.dumps(tokenizer)).fingerprint() == tokenizer.fingerprint()


def test_saving_where_it_cannot_be_says_so(tmp_path: Path, small: Tokenizer) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TokenizerError, match="file/sub cannot be written: Not a directory"):
        small.save(tmp_path / "file" / "sub")
    with pytest.raises(TokenizerError, match=r"word piece 'a\\n' cannot be written as a line"):
        Tokenizer.from_vocab([*WORDS, "a\n"]).save(tmp_path)


def test_decoding_joins_pieces(small: Tokenizer) -> None:
    ids = small.encode("Playing the game.").input_ids
    assert small.decode(ids) == "[CLS] playing the game. [SEP]"
    assert small.decode(ids, skip_special_tokens=True) == "playing the game."


def test_real_models_are_read() -> None:
    tokenizer = Tokenizer.from_pretrained(minilm())
    assert tokenizer.vocab_size == 30522
    assert tokenizer.options.do_lower_case
    assert tokenizer.options.model_max_length == 512
    beside_weights = Tokenizer.from_pretrained(minilm() / "model.safetensors")
    assert beside_weights.fingerprint() == tokenizer.fingerprint()


def test_a_vocabulary_with_crlf_is_the_same_vocabulary() -> None:
    with_crlf = Tokenizer.from_pretrained(shared_data("weights/all-MiniLM-L6-v2_TRUNCATED"))
    assert with_crlf.fingerprint() == Tokenizer.from_pretrained(minilm()).fingerprint()
    assert json.dumps(with_crlf.tokens([0, 100, 30521])) == json.dumps(["[PAD]", "[UNK]", "##～"])
