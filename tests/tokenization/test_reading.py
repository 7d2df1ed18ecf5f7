"""Vocabularies and options as they are found in directories, and what can be wrong with them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer, set_resolver, vocabulary
from tests.support import shared_data

LOWER = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "game"]
CASED = [*LOWER, "The", "Game"]


def _write(directory: Path, words: list[str] | None = None, **files: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    if words is not None:
        (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (directory / f"{name}.json").write_text(text, encoding="utf-8")
    return directory


def _tokenizer_json(words: list[str], **changes: Any) -> dict[str, Any]:
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                  "lowercase": True}  # fmt: skip
    return {
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {word: i for i, word in enumerate(words)}},
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "added_tokens": [{"id": 0, "content": "[PAD]", "special": True}],
        **changes,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "vocab.txt is empty: expected a vocabulary with one word piece a line"),
        (b"\n\n\n", "vocab.txt is empty"),
        (b"[PAD]\n[UNK]\n\xff\xfe\n", "vocab.txt is not UTF-8: byte 0xff in line 3"),
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\n", "holds 'a' twice, in line 5 and line 7"),
        (b"a\nb\n[PAD]\n[SEP]\n", r"\(4 word pieces, the first is 'a'\) lacks \[UNK\], \[CLS\]\. A BERT"),
        (b"PK\x03\x04\x00\x00", "lacks"),
    ],
)
def test_a_bad_vocabulary_is_explained(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_pretrained(tmp_path)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TokenizerError, match=r"has 20 bytes, expected at most 10: is this the right file\?"):
        (tmp_path / "vocab.txt").write_bytes(b"x" * 20)
        vocabulary.read_text(tmp_path / "vocab.txt", max_bytes=10)
    monkeypatch.setattr(vocabulary, "MAX_WORDS", 5)
    with pytest.raises(TokenizerError, match="has 8 word pieces, expected at most 5"):
        Tokenizer.from_vocab(LOWER)


def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    expected = Tokenizer.from_vocab([*LOWER, "", "\u2028x"]).vocabulary
    for name, ends, mark in (("unix", "\n", ""), ("dos", "\r\n", ""), ("mark", "\n", "\ufeff")):
        (tmp_path / name).write_bytes((mark + ends.join(expected) + ends).encode())
        assert Tokenizer.from_vocab(tmp_path / name).vocabulary == expected


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="has neither vocab.txt nor tokenizer.json"):
        Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="nowhere does not exist: name a directory with vocab.txt"):
        Tokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(TokenizerError, match=r"gone\.txt does not exist"):
        Tokenizer.from_pretrained(_write(tmp_path, LOWER), vocab=tmp_path / "gone.txt")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "tokenizer_config.json is not JSON: .* in line 1, column 2"),
        ("[]", "tokenizer_config.json holds a JSON list, expected an object"),
        ("[" * 100_000, "nested too deeply|is not JSON"),
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes', expected true or false"),
        ({"strip_accents": 1}, "strip_accents is 1, expected true or false"),
        ({"never_split": "game"}, "never_split is 'game', expected a list"),
        ({"unk_token": 3}, "unk_token is 3, expected a token's text"),
        ({"unk_token": "<unk>"}, "lacks <unk>"),
    ],
)
def test_a_bad_config_is_explained(tmp_path: Path, config: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_pretrained(_write(tmp_path, LOWER, tokenizer_config=config))


def test_the_config_decides(tmp_path: Path) -> None:
    stated = {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False, "never_split": ["game"],
              "mask_token": {"content": "play", "special": True}, "model_max_length": 10**30}  # fmt: skip
    options = Tokenizer.from_pretrained(_write(tmp_path, LOWER, tokenizer_config=stated)).options
    assert (options.do_lower_case, options.strip_accents, options.tokenize_chinese_chars) == (False, True, False)
    assert (options.never_split, options.mask_token, options.model_max_length) == (("game",), "play", None)
    assert Tokenizer.from_pretrained(tmp_path, do_lower_case=True).options.do_lower_case


@pytest.mark.parametrize(
    ("name", "words", "files", "lower", "told"),
    [
        ("m", LOWER, {}, True, "a vocabulary without upper case"),
        ("m", CASED, {}, False, "a vocabulary with upper case"),
        ("x-uncased", LOWER, {}, True, "the name x-uncased, a vocabulary without upper case"),
        ("x-cased", CASED, {}, False, "the name x-cased, a vocabulary with upper case"),
        ("showcased", LOWER, {}, True, "a vocabulary without upper case"),
        ("m", LOWER, {"bert_config": {"do_lower_case": True}}, True, "do_lower_case in bert_config.json, a vocabulary"),
        ("m", [*LOWER[:5], "中"], {}, True, "nothing"),
    ],
)
def test_casing_is_told_by_the_evidence(
    tmp_path: Path, name: str, words: list[str], files: Any, lower: bool, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        tokenizer = Tokenizer.from_pretrained(_write(tmp_path / name, words, **files))
    assert tokenizer.options.do_lower_case is lower
    assert f"do_lower_case={lower}, told by {told}" in caplog.text


@pytest.mark.parametrize(
    ("name", "words", "files"),
    [
        ("x-uncased", CASED, {}),
        ("x-cased", LOWER, {}),
        ("m", CASED, {"config": {"do_lower_case": True}}),
    ],
)
def test_contradicting_evidence_asks(tmp_path: Path, name: str, words: list[str], files: Any) -> None:
    directory = _write(tmp_path / name, words, **files)
    with pytest.raises(
        TokenizerError, match="says (cased|uncased).*says (cased|uncased).*Say do_lower_case=True or False"
    ):
        Tokenizer.from_pretrained(directory)
    assert Tokenizer.from_pretrained(directory, do_lower_case=False).options.do_lower_case is False


def test_the_name_of_a_vocabulary_file_is_evidence(tmp_path: Path) -> None:
    file = tmp_path / "bert-base-uncased-vocab.txt"
    file.write_text("\n".join(CASED), encoding="utf-8")
    with pytest.raises(
        TokenizerError, match=r"the name bert-base-uncased-vocab\.txt says uncased, a vocabulary with upper"
    ):
        Tokenizer.from_pretrained(file)


def test_lower_casing_a_cased_vocabulary_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Tokenizer.from_pretrained(_write(tmp_path, CASED, tokenizer_config={"do_lower_case": True}))
    assert "says do_lower_case, but its vocabulary has upper case" in caplog.text


@pytest.mark.parametrize(
    ("vocab", "lower"),
    [
        ("bert-base-uncased", True), ("bert-base-cased", False), ("bert-base-chinese", True), ("nezha-cn-base", True),
        ("nezha-en-base", False), ("bert-base-multilingual-cased", False), ("scibert-scivocab-uncased", True),
    ],
)  # fmt: skip
def test_the_casing_of_published_vocabularies_is_recognised(tmp_path: Path, vocab: str, lower: bool) -> None:
    (tmp_path / "vocab.txt").symlink_to(shared_data(f"vocab/{vocab}-vocab.txt").resolve())
    assert Tokenizer.from_pretrained(tmp_path).options.do_lower_case is lower


def test_tokenizer_json_alone_is_enough(tmp_path: Path) -> None:
    content = _tokenizer_json(LOWER, added_tokens=[{"id": 8, "content": "[NEW]", "special": True}])
    content["normalizer"]["lowercase"] = False
    tokenizer = Tokenizer.from_pretrained(_write(tmp_path, tokenizer=content))
    assert tokenizer.vocabulary == (*LOWER, "[NEW]")
    assert not tokenizer.options.do_lower_case
    assert tokenizer.tokens(tokenizer.encode("play [NEW]").input_ids[1:-1]) == ["play", "[NEW]"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_tokenizer_json(LOWER, model={"type": "BPE"}), "model is BPE, expected WordPiece. This is no BERT tokenizer"),
        (_tokenizer_json(LOWER, normalizer=None), "normalizer is missing, expected BertNormalizer"),
        (
            _tokenizer_json(LOWER, pre_tokenizer={"type": "Metaspace"}),
            "pre_tokenizer is Metaspace, expected BertPreToken",
        ),
        (
            _tokenizer_json(LOWER, model={"type": "WordPiece", "vocab": {"a": 2}}),
            "2 word pieces, but none has id 1: ids must run from 0 on",
        ),
        (
            _tokenizer_json(LOWER, model={"type": "WordPiece", "vocab": {"a": 0, "b": 0}}),
            "2 word pieces have 1 different ids, expected one each",
        ),
        (_tokenizer_json(LOWER, added_tokens=["[PAD]"]), r"added_tokens is '\[PAD\]', expected an object"),
        (_tokenizer_json(LOWER, model={"type": "WordPiece", "vocab": []}), r"model.vocab is \[\], expected an object"),
    ],
)
def test_another_kind_of_tokenizer_json_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_pretrained(_write(tmp_path, tokenizer=content))


def test_vocabularies_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    other = [*LOWER[:6], "##ed", "game"]
    message = r"id 6 is '##ing' in vocab\.txt \(8 word pieces\) but '##ed' in tokenizer\.json \(8\)"
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.from_pretrained(_write(tmp_path, LOWER, tokenizer=_tokenizer_json(other)))


def test_added_tokens_follow_the_vocabulary(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_pretrained(_write(tmp_path / "a", LOWER, added_tokens={"[NEW]": 8, "[PAD]": 0}))
    assert tokenizer.token_to_id("[NEW]") == 8
    with pytest.raises(TokenizerError, match=r"ids \[9\] do not follow the vocabulary's 8"):
        Tokenizer.from_pretrained(_write(tmp_path / "b", LOWER, added_tokens={"[NEW]": 9}))


@pytest.fixture
def _no_resolver() -> Iterator[None]:
    from bert_ms.tokenization import tokenizer

    before = tokenizer._resolve
    yield
    set_resolver(before)


@pytest.mark.usefixtures("_no_resolver")
def test_names_are_resolved_by_who_knows_them(tmp_path: Path) -> None:
    set_resolver(lambda name: _write(tmp_path / name, LOWER))
    assert Tokenizer.from_pretrained("some-model").vocab_size == len(LOWER)
    set_resolver(None)
    with pytest.raises(TokenizerError, match="some-other does not exist"):
        Tokenizer.from_pretrained("some-other")
