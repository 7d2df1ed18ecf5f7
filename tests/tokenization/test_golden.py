"""Ids, offsets and windows equal Hugging Face's, on texts chosen to be hard."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import Tokenizer
from tests.support import golden, shared_data

SETTINGS = (
    "uncased", "cased", "chinese", "multilingual_cased", "uncased_keep_accents", "cased_strip_accents", "uncased_nocjk",
)  # fmt: skip
UNWINDOWED = {"max_length", "truncation"}


def _tokenizer(vocab: str, settings: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_vocab(shared_data(f"vocab/{vocab}"), **settings)


@pytest.mark.parametrize("setting", SETTINGS)
def test_ids_offsets_and_decoding_equal_the_golden(setting: str) -> None:
    strings = json.loads(golden("tokenization/strings.json").read_text())
    expected = json.loads(golden(f"tokenization/fast_{setting}.json").read_text())
    tokenizer = _tokenizer(expected["vocab"], expected["settings"])
    assert len(strings) == len(expected["rows"]) == 220
    one_by_one = [tokenizer.encode(text) for text in strings]
    assert tokenizer.encode_batch(strings) == one_by_one
    for text, row, ours in zip(strings, expected["rows"], one_by_one, strict=True):
        assert ours.input_ids == row["ids"], text
        assert [list(pair) for pair in ours.offsets] == row["offsets"], text
        assert tokenizer.tokens(ours.input_ids) == row["tokens"], text
        assert tokenizer.decode(ours.input_ids) == row["decode"], text
        assert tokenizer.decode(ours.input_ids, skip_special_tokens=True) == row["decode_skip"], text


@pytest.mark.parametrize("setting", SETTINGS)
def test_ragged_arrays_hold_the_same_tokens(setting: str) -> None:
    strings = json.loads(golden("tokenization/strings.json").read_text())
    expected = json.loads(golden(f"tokenization/fast_{setting}.json").read_text())
    tokenizer = _tokenizer(expected["vocab"], expected["settings"])
    ragged = tokenizer.encode_ragged(strings)
    assert ragged.ids.tolist() == [i for row in expected["rows"] for i in row["no_special_ids"]]
    assert ragged.offsets is not None
    assert ragged.offsets.tolist() == [pair for row in expected["rows"] for pair in row["offsets"][1:-1]]
    serial = tokenizer.encode_ragged(strings, offsets=False, parallel=False)
    assert serial.offsets is None
    assert serial.ids.tolist() == ragged.ids.tolist()
    assert serial.row_splits.tolist() == ragged.row_splits.tolist()


VOCABULARIES = {"uncased": "bert-base-uncased-vocab.txt", "chinese": "bert-base-chinese-vocab.txt"}


@pytest.mark.parametrize(("name", "vocab"), VOCABULARIES.items())
def test_pairs_with_truncation_stride_and_padding_equal_the_golden(name: str, vocab: str) -> None:
    tokenizer = _tokenizer(vocab, {})
    pairs = json.loads(golden(f"tokenization/pairs_{name}.json").read_text())
    compared = refused = 0
    for pair in pairs:
        for expected in pair["out"]:
            options = expected["opt"]
            ours = {key: options[key] for key in ("max_length", "truncation", "stride") if options.get(key)}
            if "error" in expected:
                with pytest.raises(TokenizerError, match="max_length"):
                    tokenizer.encode(pair["a"], pair["b"], **ours)
                refused += 1
                continue
            got = tokenizer.encode(pair["a"], pair["b"], **ours)
            windowed = "stride" in options
            windows = got if windowed else [got]
            if options.get("padding") == "max_length":
                side = options.get("padding_side", "right")
                windows = [tokenizer.pad(window, options["max_length"], side=side) for window in windows]
            for key in ("input_ids", "token_type_ids", "attention_mask"):
                column = [getattr(window, key) for window in windows]
                assert column == (expected[key] if windowed else [expected[key]]), (options, key)
            places = [[list(place) for place in window.offsets] for window in windows]
            assert places == (expected["offsets"] if windowed else [expected["offsets"]]), options
            compared += 1
    assert compared + refused == 15 * 5
    assert refused >= 10
