"""The small files that make ids of text and back, taken along with weights of any origin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bert_ms.checkpoint.source import leads_out
from bert_ms.errors import CheckpointError
from bert_ms.tokenization import places
from bert_ms.tokenization.vocabulary import MAX_BYTES

# Copied as they are; a SavedModel has its vocabulary among the assets.
TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def take_along(source: Path, destination: Path) -> None:
    """Put the tokenizer files of one directory into another, in the form that Hugging Face knows, too.

    Args:
        source: a directory with weights; it need not have any.
        destination: a directory that has none yet.

    Raises:
        TokenizerError: GluonNLP's vocabulary is broken.
        CheckpointError: a file is a link out of its directory, or larger than any tokenizer's.
    """
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            _copy(source / name, destination / name)
    text_file, gluon_file = places.text_file(source), places.gluon_file(source)
    if text_file is not None:
        _copy(text_file, destination / "vocab.txt")
    elif gluon_file is not None and not (destination / "tokenizer.json").is_file():
        words, special = places.read_gluon(gluon_file)
        (destination / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        text = json.dumps(special, indent=2, ensure_ascii=False, sort_keys=True)
        (destination / "special_tokens_map.json").write_text(text + "\n", encoding="utf-8")


def check_size(file: Path) -> None:
    """Refuse a file that is no vocabulary by its size.

    Raises:
        CheckpointError: it is larger than any.
    """
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise CheckpointError(f"{file} has {size} bytes; a tokenizer's file has at most {MAX_BYTES}. Is it another's?")


def _copy(file: Path, target: Path) -> None:
    """Copy what is in the directory itself: a link may not bring another file's content into what is passed on."""
    if leads_out(file.parent, file):
        raise CheckpointError(
            f"{file} links out of its directory, to {file.resolve()}; it is not copied. Put a copy in its place."
        )
    check_size(file)
    shutil.copyfile(file, target)
