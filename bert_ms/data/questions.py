"""A SQuAD file as features, by what a run's configuration says."""

from __future__ import annotations

import os

from bert_ms.config import DataConfig
from bert_ms.data import question_features, squad
from bert_ms.data.loader import RowSource
from bert_ms.data.squad import SquadData
from bert_ms.data.storage import features_of
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer


def prepare(
    path: str | os.PathLike[str], tokenizer: Tokenizer, config: DataConfig, *, is_training: bool
) -> tuple[SquadData, Features | RowSource]:
    """Read the questions of a file and cut them into windows, or take the windows from the cache.

    Where they are kept is told in `storage.features_of`.

    Args:
        path: a file in SQuAD's format.
        tokenizer: of the network.
        config: which windows to make, and where to keep them.
        is_training: search for the answers. Without it, answers that do not stand where the file says do not matter,
            and what decoding needs is kept.

    Returns:
        The questions, and their features; for training on MindRecord the source that a loader streams them from.

    Raises:
        DataError: a file, question or argument that cannot be used, or a cache that cannot be written to.
    """
    data = squad.load(
        path,
        with_negatives=config.with_negatives,
        limit=config.max_train_examples if is_training else config.max_eval_examples,
        on_bad_answer=config.on_bad_answer if is_training else "keep",
    )

    def build() -> Features:
        return question_features.featurize(
            data.examples,
            tokenizer,
            max_length=config.max_length,
            stride=config.stride,
            windows=config.windows,
            max_query_length=config.max_query_length,
            with_labels=is_training,
            workers=config.workers,
        )

    features = features_of(
        path,
        build,
        config,
        tokenizer,
        is_training=is_training,
        version=question_features.VERSION,
        with_negatives=config.with_negatives,
        on_bad_answer=config.on_bad_answer,
        examples=len(data.examples),
        max_length=config.max_length,
        stride=config.stride,
        windows=config.windows,
        max_query_length=config.max_query_length,
    )
    return data, features
