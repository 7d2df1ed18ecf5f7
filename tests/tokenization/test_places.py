"""Vocabularies where each origin keeps them: a SavedModel's assets, GluonNLP's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer
from tests.support import golden

WORDS = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "play", "##ing", "a"]


def _gluon(path: Path, **changes: Any) -> Path:
    values = {"idx_to_token": WORDS, "token_to_idx": {w: i for i, w in enumerate(WORDS)}, "unknown_token": "[UNK]"}
    path.write_text(json.dumps({**values, **changes}))
    return path


@pytest.mark.parametrize("name", ["vocab.json", "book_corpus_wiki_en_uncased-a6607397.vocab"])
def test_gluonnlps_vocabulary_keeps_its_order(tmp_path: Path, name: str) -> None:
    file = _gluon(tmp_path / name)
    for source in (tmp_path, file) if name.endswith(".vocab") else (tmp_path,):
        tokenizer = Tokenizer.from_pretrained(source)
        assert list(tokenizer.vocabulary) == WORDS
        assert tokenizer.encode("playing ???").input_ids == [1, 5, 6, 0, 0, 0, 2]
    assert Tokenizer.from_pretrained(tmp_path, vocab=file).encode("a").input_ids == [1, 7, 2]


def test_gluonnlps_special_tokens_are_those_that_the_file_names(tmp_path: Path) -> None:
    words = [w.replace("[PAD]", "<pad>").replace("[SEP]", "<s>") for w in WORDS]
    named = {"padding_token": "<pad>", "bos_token": None}
    _gluon(tmp_path / "vocab.json", idx_to_token=words, token_to_idx=None, sep_token="<s>", identifiers_to_tokens=named)
    tokenizer = Tokenizer.from_pretrained(tmp_path)
    assert (tokenizer.options.pad_token, tokenizer.options.sep_token) == ("<pad>", "<s>")
    assert tokenizer.encode("a").input_ids == [1, 7, 2]


def test_the_golden_vocabulary_of_gluonnlp_is_read() -> None:
    tokenizer = Tokenizer.from_pretrained(golden("gluonnlp_bert"))
    assert list(tokenizer.vocabulary)[:5] == WORDS[:5]
    assert len(tokenizer.vocabulary) == 120


def test_a_saved_models_assets_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    assert Tokenizer.from_pretrained(tmp_path).encode("playing").input_ids == [1, 5, 6, 2]
    (tmp_path / "vocab.txt").write_text("\n".join([*WORDS, "more"]) + "\n")
    assert len(Tokenizer.from_pretrained(tmp_path).vocabulary) == 9  # the directory's own goes before


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"idx_to_token": {"a": 1}}, r"has no idx_to_token with texts: expected a vocabulary of GluonNLP"),
        ({"idx_to_token": [1, 2]}, r"has no idx_to_token with texts"),
        (
            {"token_to_idx": {"[UNK]": 0, "[CLS]": 9}},
            r"id 1 is '\[CLS\]' in idx_to_token, whose id is 9 in token_to_idx",
        ),
    ],
)
def test_a_broken_vocabulary_of_gluonnlp_is_explained(tmp_path: Path, changes: dict, error: str) -> None:
    _gluon(tmp_path / "vocab.json", **changes)
    with pytest.raises(TokenizerError, match=error):
        Tokenizer.from_pretrained(tmp_path)


def test_json_vocabularies_of_others_are_not_taken(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"<s>": 0, "a": 1}))
    with pytest.raises(TokenizerError, match=r"has neither vocab\.txt nor tokenizer\.json"):
        Tokenizer.from_pretrained(tmp_path)
