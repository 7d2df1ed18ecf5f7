"""A file of tagged sentences by what a run's configuration says: columns, lists, or spans of characters."""

from __future__ import annotations

import os
from pathlib import Path

from bert_ms.config import DataConfig
from bert_ms.data import conll, tagged_json
from bert_ms.data.datasets import Dataset
from bert_ms.data.tagged import TaggedData
from bert_ms.errors import ConfigError

FORMATS = ("conll", "jsonl", "cluener")


def read(
    path: str | os.PathLike[str],
    config: DataConfig,
    dataset: Dataset | None = None,
    *,
    needs_tags: bool = True,
    limit: int | None = None,
) -> TaggedData:
    """The sentences of a file.

    Args:
        path: the file.
        config: its format, columns (or keys) and way of tagging.
        dataset: whose file it is; None for one's own.
        needs_tags: without, a file of words alone is read too.
        limit: read only the first so many sentences.

    Raises:
        DataError: the file cannot be read, see the readers.
        ConfigError: the format is none of tagged sentences.
    """
    format_ = format_of(path, config, dataset)
    columns = {"text_column": config.text_column, "label_column": config.label_column}
    if format_ == "cluener":
        return tagged_json.read_spans(path, needs_tags=needs_tags, limit=limit)
    if format_ == "jsonl":
        return tagged_json.read_lists(
            path, **columns, names=config.labels, tagging=config.tagging, needs_tags=needs_tags, limit=limit
        )
    return conll.read(
        path,
        **columns,
        tagging=config.tagging,
        needs_tags=needs_tags,
        has_positions=dataset is not None and dataset.has_positions,
        limit=limit,
    )


def format_of(path: str | os.PathLike[str], config: DataConfig, dataset: Dataset | None) -> str:
    """One of FORMATS: as said, as the data set has it, or as the file looks.

    Raises:
        ConfigError: another one is said.
    """
    if config.format != "auto":
        if config.format not in FORMATS:
            raise ConfigError(
                f"data.format is {config.format}, for sentences of tagged words expected one of {', '.join(FORMATS)}."
            )
        return config.format
    if dataset is not None:
        return dataset.format
    if Path(path).suffix.lower() not in tagged_json.ENDINGS:
        return "conll"
    return "jsonl" if tagged_json.has_lists(path, config.text_column) else "cluener"
