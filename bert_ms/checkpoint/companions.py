"""The small files that make ids of text and back, taken along with weights of any origin."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bert_ms.tokenization import places

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
    """
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, destination / name)
    text_file, gluon_file = places.text_file(source), places.gluon_file(source)
    if text_file is not None:
        shutil.copyfile(text_file, destination / "vocab.txt")
    elif gluon_file is not None and not (destination / "tokenizer.json").is_file():
        words, special = places.read_gluon(gluon_file)
        (destination / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
        text = json.dumps(special, indent=2, ensure_ascii=False, sort_keys=True)
        (destination / "special_tokens_map.json").write_text(text + "\n", encoding="utf-8")
