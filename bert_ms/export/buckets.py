"""Batches of any size through graphs of a few fixed shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from bert_ms.errors import CheckpointError, ConfigError

Bucket = tuple[int, int]
# A graph of one shape: arrays of exactly that batch and length in, outputs out.
RunBucket = Callable[[Bucket, Sequence[np.ndarray]], Sequence[np.ndarray]]

USUAL: tuple[Bucket, ...] = ((1, 128), (8, 384))
MOST_TOKENS = 1 << 22  # of one bucket
_BUCKET = re.compile(r"(\d{1,6})[xX](\d{1,6})")


def parse_buckets(text: str) -> tuple[Bucket, ...]:
    """Buckets as they are typed: rows x tokens, with commas between.

    >>> parse_buckets("1x128, 8x384")
    ((1, 128), (8, 384))

    Raises:
        ConfigError: a part is no bucket.
    """
    found = []
    for part in text.split(","):
        match = _BUCKET.fullmatch(part.strip())
        if match is None:
            raise ConfigError(f"'{part.strip()[:40]}' is no bucket: expected ROWSxTOKENS, for example 1x128,8x384.")
        found.append((int(match[1]), int(match[2])))
    return tuple(found)


def settled_buckets(buckets: Sequence[Bucket] | None, longest: int | None) -> tuple[Bucket, ...]:
    """Buckets for a network, each once, the shortest first.

    Args:
        buckets: (rows, tokens) of each; None takes the usual ones, cut to the network's longest sequence.
        longest: that the network can take, in tokens; None if there is no such length.

    Raises:
        ConfigError: a bucket cannot be used.
    """
    if buckets is None:
        buckets = [(rows, tokens if longest is None else min(tokens, longest)) for rows, tokens in USUAL]
    problems = []
    for bucket in buckets:
        if len(bucket) != 2 or not all(type(size) is int and size >= 1 for size in bucket):
            problems.append(f"bucket {bucket!r}: expected (rows, tokens), both at least 1.")
        elif bucket[0] * bucket[1] > MOST_TOKENS:
            problems.append(
                f"bucket {bucket[0]}x{bucket[1]} has more than {MOST_TOKENS:,} tokens: choose a smaller one."
            )
        elif longest is not None and bucket[1] > longest:
            problems.append(f"bucket {bucket[0]}x{bucket[1]}: the network takes at most {longest} tokens.")
    if not buckets:
        problems.append("buckets is empty: name at least one, for example 1x128.")
    if problems:
        raise ConfigError(problems)
    return tuple(sorted({(rows, tokens) for rows, tokens in buckets}, key=lambda bucket: (bucket[1], bucket[0])))


def run_in_buckets(
    buckets: Sequence[Bucket], run: RunBucket, arrays: Sequence[np.ndarray], *, is_row: Sequence[bool]
) -> tuple[np.ndarray, ...]:
    """Outputs of a batch of any size, of rows that fit into the longest bucket at least.

    The batch is cut where it is larger than a bucket, and filled with its own last row and with padding where it is
    smaller; what was added is taken off the outputs.

    Args:
        buckets: shapes that there is a graph for.
        run: runs the graph of one.
        arrays: int32 input_ids, attention_mask, token_type_ids, each [B, S]; padding counts as none where the mask
            has it at the end of every row.
        is_row: of each output, whether it is one a row [B, ...] and not one a token [B, S, ...].

    Returns:
        The outputs of the batch as it was given; 0 for tokens that are padding in every row.

    Raises:
        CheckpointError: a row is longer than every bucket.
    """
    rows, width = arrays[0].shape
    used = int(np.flatnonzero(arrays[1].any(0)).max(initial=0)) + 1
    parts: list[list[np.ndarray]] = []
    begin = 0
    while begin < rows:
        bucket = choose(buckets, rows - begin, used)
        end = min(begin + bucket[0], rows)
        outputs = run(bucket, [_fitted(array[begin:end, :used], bucket) for array in arrays])
        parts.append(
            [
                output[: end - begin] if per_row else _as_wide(output[: end - begin, :used], width)
                for output, per_row in zip(outputs, is_row, strict=True)
            ]
        )
        begin = end
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def choose(buckets: Sequence[Bucket], rows: int, length: int) -> Bucket:
    """The bucket that computes the fewest tokens for so many rows of this length; of equal ones, the larger batch.

    >>> choose([(1, 128), (8, 128), (8, 384)], 5, 100), choose([(1, 128), (8, 384)], 2, 100)
    ((1, 128), (1, 128))
    >>> choose([(1, 128), (8, 128), (8, 384)], 8, 100), choose([(1, 128), (8, 384)], 1, 200)
    ((8, 128), (8, 384))

    Raises:
        CheckpointError: the rows are longer than every bucket.
    """
    fitting = [bucket for bucket in buckets if bucket[1] >= length]
    if not fitting:
        longest = max(tokens for _, tokens in buckets)
        raise CheckpointError(
            f"a row has {length} tokens, and the longest bucket of this exported network is {longest}: set "
            f"max_length={longest}, or export it again with a longer one (--buckets 1x{longest},1x{length})."
        )
    return min(fitting, key=lambda bucket: (-(-rows // bucket[0]) * bucket[0] * bucket[1], -bucket[0]))


def _fitted(array: np.ndarray, bucket: Bucket) -> np.ndarray:
    """Rows in the shape of a bucket: the last row again and again below, padding at the right."""
    filled = np.concatenate([array, np.repeat(array[-1:], bucket[0] - len(array), 0)])
    return np.ascontiguousarray(np.pad(filled, ((0, 0), (0, bucket[1] - array.shape[1]))))


def _as_wide(output: np.ndarray, width: int) -> np.ndarray:
    """An output [B, S, ...] with as many tokens as the arrays had."""
    return np.pad(output, ((0, 0), (0, width - output.shape[1]), *[(0, 0)] * (output.ndim - 2)))
