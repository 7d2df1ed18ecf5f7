"""Rows of any length through a backend: sorted into batches, of few shapes where that counts, and given back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from bert_ms.data import ragged
from bert_ms.data.loader import pad, take
from bert_ms.pipelines.backends import Backend
from bert_ms.records import INPUT_NAMES, Encoding, Features

# Lengths that rows are padded to where a network is compiled anew for each. Longer rows take multiples of the last.
BUCKETS = (32, 64, 128, 256, 384, 512)


def features_of(encodings: Sequence[Encoding], *, pad_token_id: int) -> Features:
    """Encodings as ragged arrays, one row each."""
    lengths = np.array([len(encoding) for encoding in encodings], np.int64)

    def flat(name: str) -> np.ndarray:
        return np.array([value for encoding in encodings for value in getattr(encoding, name)], np.int32)

    return Features(
        flat("input_ids"), flat("token_type_ids"), ragged.splits(lengths), meta={"pad_token_id": pad_token_id}
    )


def run_rows(
    backend: Backend,
    features: Features,
    *,
    batch_size: int,
    longest: int | None = None,
    extra: Sequence[np.ndarray] = (),
    buckets: Sequence[int] = BUCKETS,
) -> dict[str, np.ndarray]:
    """Outputs of every row.

    Rows of similar length go together, whatever their order. Where a shape has to be compiled, batches are padded to
    one of a few lengths, and those that are not full to a power of two of rows; elsewhere to their longest row alone.

    Args:
        backend: the network.
        features: the rows, with their padding id in `meta`.
        batch_size: most rows of a batch.
        longest: that the network can take, in tokens; None if there is no such length.
        extra: arrays [rows, ...] that the network takes after its inputs.
        buckets: lengths that rows are padded to where shapes are compiled, ascending.

    Returns:
        By output, float32: flat [T, ...] for those that are one a token, row after row; [rows, ...] for the others.
    """
    parts: dict[str, list[np.ndarray]] = {}
    lengths = features.lengths()
    order: list[np.ndarray] = []
    batches = _batches(lengths, batch_size, longest, () if backend.takes_any_shape else buckets)
    for rows, size, length in batches:
        pad_token_id = int(str(features.meta.get("pad_token_id", 0)))
        batch = pad(take(features, rows), length, size=size, pad_token_id=pad_token_id)
        arrays = [batch[name] for name in INPUT_NAMES] + [_filled(array[rows], size) for array in extra]
        is_token = np.arange(length) < lengths[rows][:, None]
        for name, output in zip(backend.outputs, backend.run(arrays), strict=False):
            values = output[: len(rows)]
            parts.setdefault(name, []).append(values if name in backend.row_outputs else values[is_token])
        order.append(rows)
    return {
        name: _in_order(values, order, features.row_splits, is_per_row=name in backend.row_outputs)
        for name, values in parts.items()
    }


def _batches(
    lengths: np.ndarray, batch_size: int, longest: int | None, buckets: Sequence[int]
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Row numbers of each batch, its size, and the length that it is padded to; without buckets as little as can be."""
    order = np.argsort(-lengths, kind="stable")
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        most = int(lengths[rows].max())
        if buckets:
            yield rows, min(batch_size, 1 << (len(rows) - 1).bit_length()), bucket(most, longest, buckets)
        else:
            yield rows, len(rows), most


def bucket(length: int, longest: int | None = None, buckets: Sequence[int] = BUCKETS) -> int:
    """The length that a row is padded to, never beyond `longest`.

    >>> bucket(5), bucket(65), bucket(600), bucket(290, 300)
    (32, 128, 1024, 300)
    """
    last = buckets[-1]
    padded = next((size for size in buckets if length <= size), -(-length // last) * last)
    return padded if longest is None else min(padded, max(longest, length))


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """An array [rows, ...] with rows of zeros up to `size`."""
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _in_order(
    values: Sequence[np.ndarray], order: Sequence[np.ndarray], row_splits: np.ndarray, *, is_per_row: bool
) -> np.ndarray:
    joined, rows = np.concatenate(values), np.concatenate(order)
    places = rows if is_per_row else ragged.ranges(row_splits[rows], np.diff(row_splits)[rows])
    result = np.empty_like(joined)
    result[places] = joined
    return result
