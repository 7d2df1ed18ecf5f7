"""Text files as rows, by what a run's configuration says."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import DataConfig, PretrainingConfig
from bert_ms.data import cache
from bert_ms.data.loader import RowSource
from bert_ms.data.pretraining import corpus as corpora
from bert_ms.data.pretraining import examples, store
from bert_ms.data.pretraining.masking import Masker
from bert_ms.data.pretraining.rows import TextRows
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

# What evaluation masks and cuts by, whatever the run's seed: scores of different runs are then of the same words.
EVALUATION_SEED = 12345
_ROWS = "examples"


def load(
    path: str | Path,
    tokenizer: Tokenizer,
    data: DataConfig,
    pretraining: PretrainingConfig,
    *,
    pairs: bool,
    masks: bool,
    seed: int,
    copies: int = 1,
    limit: int | None = None,
) -> TextRows:
    """Read text, tokenise it, and cut it into examples; or take corpus and examples from the cache.

    Args:
        path: a file, a folder, or a pattern.
        tokenizer: of the network.
        data: the longest row, and where to keep what is made.
        pretraining: how text is laid out, cut and masked.
        pairs: make pairs of segments, the second a random one half the time.
        masks: hide words; otherwise each place is to predict the next.
        seed: of all that is drawn.
        copies: how often the text is cut.
        limit: take only the first so many rows.

    Raises:
        DataError: files that cannot be used, or a cache that cannot be written to.
        TokenizerError: the vocabulary has no [MASK], and words are to be hidden.
    """
    masker = Masker(tokenizer, pretraining, seed=seed) if masks else None
    corpus = corpora.load(path, tokenizer, data, pretraining)
    if pairs and corpus.document_count == 1:
        logger.warning(
            "%s is a single document: second segments that should be of another one are taken from it too. Put blank "
            "lines between documents, or say pretraining.text=paragraphs where each line is one.",
            path,
        )
    arguments: dict[str, Any] = {
        "pairs": pairs,
        "max_length": data.max_length,
        "short_seq_prob": pretraining.short_seq_prob,
        "seed": seed,
        "copies": copies,
    }

    def build(writer: store.Writer) -> None:
        for chunk in examples.cut(corpus, **arguments):
            writer.append(examples=chunk)

    key = {"corpus": corpus.digest, "version": examples.VERSION, **arguments}
    in_memory = not isinstance(corpus.ids, np.memmap)
    found = store.kept(_ROWS, key, {_ROWS: np.int64}, build, directory=data.cache_dir, in_memory=in_memory)
    chosen = found.arrays[_ROWS][:limit]
    logger.info("%s: %d examples of up to %d tokens", path, len(chosen), data.max_length)
    return TextRows.of(corpus, chosen, tokenizer, masker, pairs=pairs, key=key)


def static(rows: TextRows, data: DataConfig) -> Features | RowSource:
    """Rows with the masks that they get once and keep: from the cache, or made and put there.

    All are in memory while they are made. With `storage` "memory", and with "auto" for text that was not worth keeping
    either, nothing is written; large ones are kept in MindRecord and streamed from there.

    Raises:
        DataError: the cache cannot be written to.
    """

    def build() -> Features:
        return rows.features(np.arange(len(rows)))

    if not isinstance(rows.corpus.ids, np.memmap):
        return build()
    storage: cache.Storage = "mindrecord" if data.storage == "mindrecord" else "auto"
    return cache.prepared_rows({"static": rows.fingerprint()}, build, directory=data.cache_dir, storage=storage)
