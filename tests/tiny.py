"""A network of a few thousand weights with its vocabulary, and a handful of real questions for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bert_ms

SAMPLE = Path(bert_ms.__file__).parent / "sample"


def questions(path: Path, count: int, *, file: str = "squad_train.json", most_words: int = 45) -> Path:
    """Write `count` questions of the packaged sample, on short passages, as a SQuAD file."""
    kept: list[dict[str, Any]] = []
    for article in json.loads((SAMPLE / file).read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            if len(paragraph["context"].split()) <= most_words and len(kept) < count:
                kept += [{"context": paragraph["context"], "qas": [qa]} for qa in paragraph["qas"]][: count - len(kept)]
    assert len(kept) == count, f"the sample has only {len(kept)} such questions"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "tiny", "paragraphs": kept}]}), encoding="utf-8")
    return path


def vocabulary(words: int = 3000) -> list[str]:
    """Special tokens, every character of the sample alone and inside a word, and its most frequent words."""
    text = "".join(
        (SAMPLE / name).read_text(encoding="utf-8") for name in ("squad_train.json", "squad_dev.json")
    ).lower()
    characters = sorted(set(text) - set(" \n\t\\"))
    frequent = [word for word, _ in Counter(text.replace('"', " ").split()).most_common(words) if word.isalpha()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *(f"##{c}" for c in characters), *frequent]
    return list(dict.fromkeys(pieces))


def model(directory: Path, **config: Any) -> Path:
    """Write a network with random weights, as `model.source` takes it. Needs a mode and device to be set."""
    from bert_ms import checkpoint, compat
    from bert_ms.config import BertConfig
    from bert_ms.model import build
    from bert_ms.tokenization import Tokenizer

    compat.mindspore().set_seed(5)
    words = vocabulary()
    sizes: Mapping[str, Any] = {
        "vocab_size": len(words), "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 256,
    }  # fmt: skip
    network = build(BertConfig(**{**sizes, **config}), "encoder")
    checkpoint.save(network, directory, tokenizer=Tokenizer.from_vocab(words))
    return directory
