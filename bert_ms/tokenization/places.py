"""Where the vocabulary is among what a pretrained model comes with: by the customs of each origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_ms.errors import TokenizerError
from bert_ms.tokenization.options import read_json

# A SavedModel of TensorFlow keeps its vocabulary among the assets.
TEXT_FILES = ("vocab.txt", "assets/vocab.txt")
JSON_SUFFIXES = (".json", ".vocab")

# GluonNLP's names of special tokens -> ours.
_GLUON_TOKENS = {
    "unknown_token": "unk_token",
    "padding_token": "pad_token",
    "sep_token": "sep_token",
    "cls_token": "cls_token",
    "mask_token": "mask_token",
}


def text_file(directory: Path) -> Path | None:
    """The vocabulary with one word piece a line, if there is one."""
    return next((directory / name for name in TEXT_FILES if (directory / name).is_file()), None)


def gluon_file(directory: Path) -> Path | None:
    """GluonNLP's vocabulary: `vocab.json`, or the one file with the suffix .vocab."""
    named = [path for path in (directory / "vocab.json", *sorted(directory.glob("*.vocab"))) if path.is_file()]
    return named[0] if len(named) == 1 and "idx_to_token" in read_json(named[0]) else None


def read_gluon(path: Path) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Word pieces in the order of their ids, and the special tokens that the file names.

    Source: gluonnlp/vocab/vocab.py, Vocab.to_json (0.6 to 0.10; identifiers_to_tokens since 0.9).

    Raises:
        TokenizerError: it is not GluonNLP's, or its two directions contradict each other.
    """
    values = read_json(path)
    words, ids = values.get("idx_to_token"), values.get("token_to_idx")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise TokenizerError(f"{path} has no idx_to_token with texts: expected a vocabulary of GluonNLP.")
    if isinstance(ids, dict):
        wrong = next((i for i, word in enumerate(words) if ids.get(word) != i), None)
        if wrong is not None:
            raise TokenizerError(
                f"{path}: id {wrong} is {words[wrong]!r} in idx_to_token, whose id is {ids.get(words[wrong])!r} in "
                f"token_to_idx."
            )
    named = values.get("identifiers_to_tokens")
    tokens = {**values, **(named if isinstance(named, Mapping) else {})}
    stated = {ours: tokens[name] for name, ours in _GLUON_TOKENS.items() if isinstance(tokens.get(name), str)}
    return tuple(words), stated
