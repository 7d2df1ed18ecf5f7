"""Batches of any size go through graphs of few shapes as they would through one of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.export.buckets import Bucket, choose, parse_buckets, run_in_buckets, settled_buckets

SEEN: list[Bucket] = []


def network(bucket: Bucket, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each token with its mask, [B, S, 2], and each row's sum over its tokens, [B, 1]."""
    SEEN.append(bucket)
    assert all(array.shape == bucket and array.dtype == np.int32 for array in arrays)
    ids, mask, _ = arrays
    return [np.stack([ids, mask], -1).astype(np.float32), (ids * mask).sum(1, keepdims=True).astype(np.float32)]


def batch(lengths: Sequence[int], width: int) -> list[np.ndarray]:
    ids = np.arange(1, len(lengths) * width + 1, dtype=np.int32).reshape(len(lengths), width)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int32)
    return [ids * mask, mask, np.zeros_like(ids)]


@pytest.mark.parametrize(
    ("lengths", "width", "buckets", "used"),
    [
        ((5, 3), 8, [(2, 8)], [(2, 8)]),
        ((5, 3, 4), 8, [(2, 8)], [(2, 8), (2, 8)]),
        ((5, 3), 8, [(4, 16)], [(4, 16)]),
        ((5, 3), 16, [(1, 6), (4, 16)], [(1, 6), (1, 6)]),
        ((5,) * 9, 8, [(4, 8), (1, 8)], [(1, 8), (4, 8), (4, 8)]),
        ((0, 0), 8, [(2, 4)], [(2, 4)]),
    ],
)
def test_outputs_are_those_of_the_batch_as_it_was_given(lengths, width, buckets, used) -> None:
    arrays = batch(lengths, width)
    SEEN.clear()
    tokens, sums = run_in_buckets(buckets, network, arrays, is_row=(False, True))
    assert used == SEEN
    np.testing.assert_array_equal(tokens[..., 0], arrays[0])
    np.testing.assert_array_equal(tokens[..., 1], arrays[1])
    np.testing.assert_array_equal(sums[:, 0], arrays[0].sum(1))


def test_an_output_as_wide_as_a_bucket_is_one_a_row_where_it_is_said_to_be() -> None:
    labels = np.arange(32, dtype=np.float32).reshape(2, 16)
    (found,) = run_in_buckets([(2, 16)], lambda *_: [labels], batch((5, 3), 8), is_row=(True,))
    np.testing.assert_array_equal(found, labels)


def test_a_row_longer_than_every_bucket_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"a row has 9 tokens, and the longest bucket .* is 8.*--buckets 1x8,1x9"):
        run_in_buckets([(1, 4), (2, 8)], network, batch((9, 2), 12), is_row=(False, True))


def test_the_bucket_with_the_fewest_tokens_is_chosen() -> None:
    buckets = [(1, 64), (8, 64), (1, 128), (8, 384)]
    assert choose(buckets, 1, 10) == (1, 64)
    assert choose(buckets, 8, 64) == (8, 64)
    assert choose(buckets, 2, 65) == (1, 128)
    assert choose(buckets, 1, 129) == (8, 384)


def test_buckets_are_read_as_typed_and_kept_once_in_order() -> None:
    assert parse_buckets("8x384, 1x128,1X128") == ((8, 384), (1, 128), (1, 128))
    assert settled_buckets(parse_buckets("8x384,1x128,1x128"), 512) == ((1, 128), (8, 384))
    assert settled_buckets(None, 256) == ((1, 128), (8, 256))
    assert settled_buckets(None, None) == ((1, 128), (8, 384))


@pytest.mark.parametrize("text", ["", "8", "8x", "axb", "1x128;8x384", "-1x4", "1x9999999"])
def test_what_is_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no bucket: expected ROWSxTOKENS"):
        parse_buckets(text)


def test_all_that_is_wrong_with_buckets_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="3 problems") as caught:
        settled_buckets([(0, 8), (1, 513), (9999, 512)], 512)
    assert "bucket (0, 8): expected (rows, tokens)" in str(caught.value)
    assert "bucket 1x513: the network takes at most 512 tokens" in str(caught.value)
    assert "bucket 9999x512 has more than 4,194,304 tokens" in str(caught.value)
