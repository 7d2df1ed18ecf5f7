"""Rows in MindRecord, MindSpore's own file format: unpadded, read one by one in any order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import compat
from bert_ms.data import ragged
from bert_ms.errors import DataError
from bert_ms.records import GROUP, INPUT_IDS, TOKEN_TYPE_IDS, Features

FILE = "rows.mindrecord"
_CHUNK = 2000


def write(directory: Path, features: Features) -> None:
    """Write ids, types and labels of every row to `rows.mindrecord`; the row numbers are their order.

    Raises:
        DataError: MindSpore cannot write the file, for example because the disk is full.
    """
    schema: dict[str, Any] = {INPUT_IDS: {"type": "int32", "shape": [-1]}, TOKEN_TYPE_IDS: {"type": "bytes"}}
    for name, column in features.labels.items():
        shape = {"shape": [-1]} if column.ndim > 1 or ragged.is_per_token(features, column) else {}
        schema[name] = {"type": column.dtype.name, **shape}
    record = _module("mindrecord")
    try:
        writer = record.FileWriter(os.fspath(directory / FILE), shard_num=1, overwrite=True)
        writer.add_schema(schema, "features")
        for begin in range(0, len(features), _CHUNK):
            end = min(begin + _CHUNK, len(features))
            writer.write_raw_data([_row(features, row) for row in range(begin, end)])
        writer.commit()
    except (RuntimeError, OSError, record.common.exceptions.MindRecordException) as error:
        free = shutil.disk_usage(directory).free / 2**20  # MindSpore does not tell a full disk from anything else
        raise DataError(
            f"{directory / FILE} cannot be written ({free:,.1f} MB are free there): {str(error).splitlines()[0]} Make "
            f"room, set another data.cache_dir, or keep features in memory with data.storage=memory."
        ) from error


def read(directory: Path, labels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """All rows: `input_ids` and `token_type_ids` int32 [T], and `labels` by name.

    Args:
        directory: that `write` wrote to.
        labels: kinds of the label columns by name, see `label_kinds`.
    """
    reader = _module("mindrecord").FileReader(os.fspath(directory / FILE))
    try:
        return _joined(list(reader.get_next()), labels)
    finally:
        reader.close()


class Rows:
    """The rows of a MindRecord file as a source for a loader, read as they are needed.

    Args:
        directory: that `write` wrote to.
        row_splits: int64 [rows + 1], of the features written.
        labels: kinds of the label columns by name, see `label_kinds`.
        meta: of the features written.
        digest: sha256 of the content.
    """

    def __init__(
        self,
        directory: Path,
        row_splits: np.ndarray,
        labels: Mapping[str, Sequence[str]],
        meta: Mapping[str, object],
        digest: str,
    ):
        self.directory, self.labels, self.meta, self.digest = directory, dict(labels), meta, digest
        self._lengths = np.diff(row_splits)

    def __len__(self) -> int:
        return len(self._lengths)

    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        return self._lengths

    def fingerprint(self) -> str:
        """sha256 of the rows' content."""
        return self.digest

    def pad_token_id(self) -> int:
        """What input_ids are padded with."""
        return int(str(self.meta.get("pad_token_id", 0)))

    def group(self) -> int:
        """So many rows are one example, see `Features.group`."""
        return int(str(self.meta.get(GROUP, 1)))

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Features]:
        """For each array of row numbers those rows, in that order.

        Rows are read some thousands at a time, each once, in the order of the file.
        """
        together: list[np.ndarray] = []
        for numbers in batches:
            together.append(numbers)
            if sum(map(len, together)) >= _CHUNK:
                yield from self._read(together)
                together = []
        yield from self._read(together)

    def _read(self, batches: Sequence[np.ndarray]) -> Iterator[Features]:
        wanted = np.unique(np.concatenate([np.zeros(0, np.int64), *batches])).tolist()
        names = (INPUT_IDS, TOKEN_TYPE_IDS, *self.labels)
        rows: dict[int, dict[str, np.ndarray]] = {}
        if wanted:
            dataset, file = _module("dataset"), os.fspath(self.directory / FILE)
            sampler = dataset.SubsetSampler(wanted)
            data = dataset.MindDataset(file, columns_list=list(names), sampler=sampler, num_parallel_workers=1)
            for number, row in zip(wanted, data.create_tuple_iterator(output_numpy=True, num_epochs=1), strict=True):
                rows[number] = dict(zip(names, row, strict=True))
        for numbers in batches:
            columns = _joined([rows[number] for number in numbers.tolist()], self.labels)
            yield Features(row_splits=ragged.splits(self._lengths[numbers]), meta=self.meta, **columns)


def label_kinds(features: Features) -> dict[str, list[str]]:
    """What has to be known to read label columns again: by name "token" or "row" (one label each), with the dtype."""
    return {
        name: ["token" if ragged.is_per_token(features, column) else "row", column.dtype.name]
        for name, column in features.labels.items()
    }


def _row(features: Features, row: int) -> dict[str, Any]:
    begin, end = int(features.row_splits[row]), int(features.row_splits[row + 1])
    values: dict[str, Any] = {
        INPUT_IDS: features.input_ids[begin:end],
        TOKEN_TYPE_IDS: features.token_type_ids[begin:end].astype(np.int8).tobytes(),
    }
    for name, column in features.labels.items():
        values[name] = column[begin:end] if ragged.is_per_token(features, column) else column[row]
        if np.ndim(values[name]) == 0:
            values[name] = values[name].item()
    return values


def _joined(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    def joined(name: str, per: str, dtype: str) -> np.ndarray:
        columns = [row[name] for row in rows] or [np.zeros(0)]
        return (np.concatenate(columns) if per == "token" else np.stack(columns)).astype(dtype)

    types = b"".join(_raw(row[TOKEN_TYPE_IDS]) for row in rows)
    return {
        INPUT_IDS: joined(INPUT_IDS, "token", "int32"),
        TOKEN_TYPE_IDS: np.frombuffer(types, np.int8).astype(np.int32),
        "labels": {name: joined(name, *kind) for name, kind in labels.items()},
    }


def _raw(value: bytes | np.ndarray) -> bytes:
    return value if isinstance(value, bytes) else value.tobytes()


def _module(name: str) -> Any:
    ms = compat.mindspore()
    return ms.mindrecord if name == "mindrecord" else ms.dataset
