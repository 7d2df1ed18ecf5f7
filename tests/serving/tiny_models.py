"""Checkpoints of a few thousand weights, each with a head of its own, as a server loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import tiny

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
MODELS: dict[str, dict[str, Any]] = {
    "qa": {"task": "question-answering"},
    "classify": {"task": "sequence-classification", "labels": ("good", "bad", "ugly")},
    "score": {"task": "sequence-classification", "labels": ("score",), "problem_type": "regression"},
    "topics": {"task": "sequence-classification", "labels": ("a", "b", "c"),
               "problem_type": "multi_label_classification"},
    "ner": {"task": "token-classification", "labels": TAGS},
    "crf": {"task": "token-classification", "labels": TAGS, "has_crf": True},
    "fill-mask": {"task": "masked-lm"},
    "embed": {"task": "encoder"},
}  # fmt: skip
LONGEST = 64


def save(directory: Path, name: str, *, seed: int = 5) -> Path:
    """Write one of MODELS with weights that tell inputs apart. Needs a mode and device to be set."""
    from bert_ms import checkpoint, compat
    from bert_ms.config import BertConfig
    from bert_ms.model import build
    from bert_ms.tokenization import Tokenizer

    compat.mindspore().set_seed(seed)
    words = tiny.vocabulary()
    given = dict(MODELS[name])
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=LONGEST, initializer_range=0.3, **given,
    )  # fmt: skip
    network = build(config, given["task"])
    checkpoint.save(network, directory, tokenizer=Tokenizer.from_vocab(words))
    return directory
