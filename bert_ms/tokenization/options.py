"""What a tokenizer does to text, as the files beside a vocabulary say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.errors import TokenizerError
from bert_ms.tokenization.vocabulary import MAX_BYTES, read_text

SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """Everything beside the vocabulary that decides which ids a text gets.

    Attributes:
        do_lower_case: lower-case the text first, as uncased vocabularies need it.
        strip_accents: remove accents; None does what `do_lower_case` does.
        tokenize_chinese_chars: every Chinese character is a word of its own.
        clean_text: drop control characters, and turn every kind of white space into a blank.
        never_split: words that are kept whole; they must be in the vocabulary.
        additional_special_tokens: more tokens that are found in text as they stand, like [MASK].
        max_input_chars_per_word: a longer word becomes [UNK].
        model_max_length: longest input of the network that the tokenizer came with, in tokens.
    """

    do_lower_case: bool = True
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    never_split: tuple[str, ...] = ()
    additional_special_tokens: tuple[str, ...] = ()
    unk_token: str = "[UNK]"
    sep_token: str = "[SEP]"
    pad_token: str = "[PAD]"
    cls_token: str = "[CLS]"
    mask_token: str = "[MASK]"
    max_input_chars_per_word: int = 100
    model_max_length: int | None = None

    def to_hugging_face(self) -> dict[str, Any]:
        """The content of a `tokenizer_config.json`."""
        values: dict[str, Any] = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.do_lower_case,
            "strip_accents": self.strip_accents,
            "tokenize_chinese_chars": self.tokenize_chinese_chars,
            "never_split": list(self.never_split) or None,
            **{name: getattr(self, name) for name in SPECIAL_TOKENS},
        }
        if self.additional_special_tokens:
            values["additional_special_tokens"] = list(self.additional_special_tokens)
        if not self.clean_text:
            values["clean_text"] = False
        if self.max_input_chars_per_word != 100:
            values["max_input_chars_per_word"] = self.max_input_chars_per_word
        if self.model_max_length is not None:
            values["model_max_length"] = self.model_max_length
        return values


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        TokenizerError: the file is missing, too large, no JSON (with line and column), or no object.
    """
    try:
        value = json.loads(read_text(path, max_bytes=MAX_BYTES))
    except json.JSONDecodeError as error:
        raise TokenizerError(f"{path} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except RecursionError:
        raise TokenizerError(f"{path} is not a usable JSON file: it is nested too deeply.") from None
    if not isinstance(value, dict):
        raise TokenizerError(f"{path} holds a JSON {type(value).__name__}, expected an object.")
    return value


def from_tokenizer_config(values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Options that a `tokenizer_config.json` (or `special_tokens_map.json`) states, by our names.

    Keys that have no meaning here are left out: Hugging Face keeps many things in this file.

    Raises:
        TokenizerError: a value of the wrong type.
    """
    found: dict[str, Any] = {}
    for name in ("do_lower_case", "tokenize_chinese_chars", "clean_text"):
        if values.get(name) is not None:
            found[name] = _typed(values[name], bool, name, source)
    if "strip_accents" in values:
        stated = values["strip_accents"]
        found["strip_accents"] = None if stated is None else _typed(stated, bool, "strip_accents", source)
    for name in SPECIAL_TOKENS:
        if values.get(name) is not None:
            found[name] = _token(values[name], name, source)
    for name in ("never_split", "additional_special_tokens"):
        if values.get(name):
            stated = _typed(values[name], list, name, source)
            found[name] = tuple(_token(item, name, source) for item in stated)
    if values.get("max_input_chars_per_word") is not None:
        found["max_input_chars_per_word"] = _typed(
            values["max_input_chars_per_word"], int, "max_input_chars_per_word", source
        )
    longest = values.get("model_max_length")
    if isinstance(longest, int) and not isinstance(longest, bool) and 0 < longest < 10**6:
        found["model_max_length"] = longest  # Hugging Face writes 10**30 for "unknown"
    return found


def from_tokenizer_json(values: Mapping[str, Any], *, source: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Vocabulary with options of a `tokenizer.json`, which must describe a BERT tokenizer.

    Raises:
        TokenizerError: another kind of tokenizer, or ids that leave holes.
    """
    model = _part(values, "model", "WordPiece", source)
    normalizer = _part(values, "normalizer", "BertNormalizer", source)
    _part(values, "pre_tokenizer", "BertPreTokenizer", source)
    if model.get("continuing_subword_prefix", "##") != "##":
        prefix = model["continuing_subword_prefix"]
        raise TokenizerError(f"{source}: word pieces continue with {prefix!r}, expected ##.")
    vocab = _typed(model.get("vocab"), dict, "model.vocab", source)
    by_id = {id_: word for word, id_ in vocab.items() if isinstance(id_, int)}
    if len(by_id) < len(vocab):
        raise TokenizerError(
            f"{source}: {len(vocab):,} word pieces have {len(by_id):,} different ids, expected one each."
        )
    special: list[str] = []
    whole: list[str] = []
    for entry in values.get("added_tokens") or []:
        token = _token(_typed(entry, dict, "added_tokens", source), "added_tokens", source)
        by_id.setdefault(entry.get("id"), token)
        (special if entry.get("special", True) else whole).append(token)
    words = tuple(by_id.get(index) for index in range(len(by_id)))
    if None in words:
        raise TokenizerError(
            f"{source}: {len(by_id):,} word pieces, but none has id {words.index(None)}: ids must run from 0 on."
        )
    options = {
        "do_lower_case": bool(normalizer.get("lowercase", True)),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": bool(normalizer.get("handle_chinese_chars", True)),
        "clean_text": bool(normalizer.get("clean_text", True)),
        "unk_token": model.get("unk_token", "[UNK]"),
        "max_input_chars_per_word": int(model.get("max_input_chars_per_word", 100)),
        "additional_special_tokens": tuple(special),
        "never_split": tuple(whole),
    }
    return words, options  # type: ignore[return-value]


def _part(values: Mapping[str, Any], name: str, kind: str, source: str) -> Mapping[str, Any]:
    part = values.get(name)
    found = part.get("type") if isinstance(part, dict) else None
    if found is None and name == "model" and isinstance(part, dict) and "vocab" in part and "merges" not in part:
        found = "WordPiece"  # early versions of the file do not name the model
    if found != kind or not isinstance(part, dict):
        raise TokenizerError(
            f"{source}: {name} is {found or 'missing'}, expected {kind}. This is no BERT tokenizer; give the "
            f"vocab.txt that the weights were trained with."
        )
    return part


def _typed(value: Any, kind: type, name: str, source: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        expected = {bool: "true or false", list: "a list", int: "a whole number", dict: "an object"}[kind]
        raise TokenizerError(f"{source}: {name} is {value!r}, expected {expected}.")
    return value


def _token(value: Any, name: str, source: str) -> str:
    content = value.get("content") if isinstance(value, dict) else value
    if not isinstance(content, str) or not content:
        raise TokenizerError(f"{source}: {name} is {value!r}, expected a token's text.")
    return content
