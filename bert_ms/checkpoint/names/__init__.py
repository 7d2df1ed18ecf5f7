"""Name tables, one an origin; adding an origin is adding a table here."""

from __future__ import annotations

from collections.abc import Iterable

from bert_ms.checkpoint.names import gluon, hugging_face, mindformers, model_zoo, tensorflow
from bert_ms.checkpoint.names.rules import (
    ENCODER_PARTS,
    ENCODER_PREFIX,
    Found,
    NameTable,
    Rule,
    Translation,
    without_encoder,
)
from bert_ms.errors import CheckpointError

_PLAIN_WORDS = ("p", "norm", "table", "part", "gate", "way")


def _own_table() -> NameTable:
    """Our own names: the left sides of every other table, as they are."""
    tables = (hugging_face.BERT, model_zoo.MODEL_ZOO)
    words = {key: words for table in tables for key, words in table.words.items()}
    templates = dict.fromkeys(rule.ours for table in tables for rule in table.rules)
    return NameTable(
        name="bert_ms",
        rules=tuple(Rule(ours, ours) for ours in templates),
        words={key: {word: (word,) for word in words[key]} for key in _PLAIN_WORDS},
        wrappers="bert",
        known_unused=model_zoo.MODEL_ZOO.known_unused,
        encoder_prefix=ENCODER_PREFIX,
    )


OURS = _own_table()
HUGGING_FACE = hugging_face.BERT
HUGGING_FACE_NEZHA = hugging_face.NEZHA
MODEL_ZOO = model_zoo.MODEL_ZOO
GOOGLE = tensorflow.GOOGLE
KERAS = tensorflow.KERAS
GLUON = gluon.ATTRIBUTES
MINDFORMERS = mindformers.MINDFORMERS
GLUON_BLOCKS = gluon.BLOCKS

WORD_TABLE = "embeddings.word_embeddings.weight"

# Tried on every file; on a draw the earlier one is taken.
TABLES = (OURS, HUGGING_FACE, MODEL_ZOO, GOOGLE, KERAS, GLUON, GLUON_BLOCKS, MINDFORMERS)


def translate(names: Iterable[str], *, file: str) -> Translation:
    """Explain a file's names by the table that explains most of them.

    Args:
        names: of the file's tensors.
        file: named in errors.

    Raises:
        CheckpointError: no table knows the word embeddings, so that this is no BERT or NEZHA network; or two names of
            the file mean the same parameter.
    """
    names = list(names)
    candidates = [table for table in TABLES if table.has(WORD_TABLE, names)]
    if not candidates:
        shown = ", ".join(sorted(names)[:5]) or "nothing"
        origins = ", ".join(table.name for table in TABLES)
        raise CheckpointError(
            f"{file} holds no BERT or NEZHA network that is known: none of its {len(names)} tensors is a word table "
            f"by the names of {origins}. It begins with: {shown}."
        )
    try:
        explained = [table.translate(names) for table in candidates]
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None
    return min(explained, key=lambda translation: len(translation.unknown))


__all__ = [
    "ENCODER_PARTS",
    "ENCODER_PREFIX",
    "GLUON",
    "GLUON_BLOCKS",
    "GOOGLE",
    "HUGGING_FACE",
    "HUGGING_FACE_NEZHA",
    "KERAS",
    "MINDFORMERS",
    "MODEL_ZOO",
    "OURS",
    "TABLES",
    "Found",
    "NameTable",
    "Rule",
    "Translation",
    "translate",
    "without_encoder",
]
