"""Features of a file: made at once where that is quick, else kept in the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_ms.config import DataConfig
from bert_ms.data import cache
from bert_ms.data.loader import RowSource
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer

# A smaller file is tokenised in about a second: quicker than finding out whether the cache has it is worth.
SMALL_FILE_BYTES = 8 * 2**20


def features_of(
    path: str | os.PathLike[str],
    build: Callable[[], Features],
    config: DataConfig,
    tokenizer: Tokenizer,
    *,
    is_training: bool,
    version: int,
    **arguments: Any,
) -> Features | RowSource:
    """Features of a file, built or from the cache.

    With `data.storage` "memory", and with "auto" for files under 8 MB, nothing is written. Otherwise features are kept
    in the cache by the content of file, tokenizer and arguments: with "auto" as arrays, or as MindRecord if large.

    Args:
        path: the file.
        build: makes the features.
        config: where to keep them.
        tokenizer: that makes them.
        is_training: for training large features are streamed; otherwise they are whole in memory.
        version: of the code that makes them, see `cache.content_key`.
        arguments: all else that they depend on; JSON values.

    Raises:
        DataError: what `build` raises, or a cache that cannot be written to.
    """
    is_small = config.storage == "auto" and Path(path).stat().st_size < SMALL_FILE_BYTES
    if config.storage == "memory" or is_small:
        return build()
    key = cache.content_key(path, tokenizer=tokenizer, version=version, is_training=is_training, **arguments)
    get = cache.prepared_rows if is_training else cache.prepared
    storage: cache.Storage = "mindrecord" if config.storage == "mindrecord" else "auto"
    return get(key, build, directory=config.cache_dir, storage=storage)
