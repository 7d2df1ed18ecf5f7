"""Batches: every row, in an order that can be had again, padded as it should be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bert_ms.data import plan, ragged
from bert_ms.data.loader import Batches, EvaluationBatches, take
from bert_ms.errors import DataError
from bert_ms.records import Features

ROWS = 103


@pytest.fixture(scope="module")
def features() -> Features:
    """Row i holds ids that begin with 1000 + i, so that every row can be told in a batch."""
    random = np.random.default_rng(0)
    lengths = random.integers(2, 70, ROWS)
    row_splits = ragged.splits(lengths)
    ids = np.repeat(np.arange(ROWS) + 1000, lengths) + ragged.ranges(np.zeros(ROWS, np.int64), lengths) * 10_000
    return Features(
        ids.astype(np.int32), (ids % 2).astype(np.int32), row_splits,
        labels={"start_positions": np.arange(ROWS, dtype=np.int32), "labels": (ids % 7).astype(np.int32)},
        meta={"pad_token_id": 9},
    )  # fmt: skip


def _rows(batches: list[dict[str, np.ndarray]]) -> list[int]:
    return [int(row) for batch in batches for row in batch["row"]]


def _epoch(batches: Batches, epoch: int = 0) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(batches.starting_at(epoch * batches.per_epoch), batches.per_epoch))


def _same(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in zip(first, second, strict=True)
    )


def test_a_batch_holds_its_rows_padded_to_a_bucket(features: Features) -> None:
    batches = Batches(features, batch_size=8, seed=1, buckets=(16, 32, 72))
    seen = _epoch(batches)
    assert len(seen) == batches.per_epoch == 13
    for batch in seen:
        width = batch["input_ids"].shape[1]
        assert width in (16, 32, 72)
        assert list(batch)[:3] == ["input_ids", "attention_mask", "token_type_ids"]
        assert all(batch[name].dtype == np.int32 for name in batch)
        lengths = batch["attention_mask"].sum(1)
        assert lengths.max() > {16: 0, 32: 16, 72: 32}[width]
        for i, row in enumerate(batch["row"]):
            begin, end = features.row_splits[row], features.row_splits[row + 1]
            n = end - begin
            assert batch["input_ids"][i].tolist() == [*features.input_ids[begin:end], *[9] * (width - n)]
            assert batch["attention_mask"][i].tolist() == [1] * n + [0] * (width - n)
            assert batch["token_type_ids"][i].tolist() == [*features.token_type_ids[begin:end], *[0] * (width - n)]
            assert batch["labels"][i].tolist() == [*features.labels["labels"][begin:end], *[-100] * (width - n)]
            assert batch["start_positions"][i] == row


def test_every_row_is_in_every_epoch_and_every_batch_is_full(features: Features) -> None:
    batches = Batches(features, batch_size=8, seed=1)
    for epoch in range(3):
        rows = _rows(_epoch(batches, epoch))
        assert len(rows) == 13 * 8
        assert set(rows) == set(range(ROWS))


def test_the_order_follows_from_seed_and_epoch(features: Features) -> None:
    first, again = (Batches(features, batch_size=8, seed=1) for _ in range(2))
    assert _same(_epoch(first), _epoch(again))
    assert _rows(_epoch(first, 0)) != _rows(_epoch(first, 1))
    assert _rows(_epoch(first)) != _rows(_epoch(Batches(features, batch_size=8, seed=2)))


@pytest.mark.parametrize("position", [0, 1, 12, 13, 30])
def test_resuming_gives_the_same_batches_as_going_on(features: Features, position: int) -> None:
    batches = Batches(features, batch_size=8, seed=3)
    undisturbed = list(itertools.islice(batches.starting_at(0), 40))
    resumed = list(itertools.islice(batches.starting_at(position), 40 - position))
    assert _same(undisturbed[position:], resumed)


@pytest.mark.parametrize("size", [2, 4])
def test_workers_share_the_batches_of_one_with_more(features: Features, size: int) -> None:
    alone = _epoch(Batches(features, batch_size=8, seed=5))
    shares = [_epoch(Batches(features, batch_size=8 // size, seed=5, rank=r, size=size)) for r in range(size)]
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*shares, strict=True)
    ]
    assert _same(alone, joined)


def test_the_fingerprint_tells_other_data_and_other_batches(features: Features) -> None:
    fingerprint = Batches(features, batch_size=8, seed=1).fingerprint
    assert Batches(features, batch_size=4, seed=1, rank=1, size=2).fingerprint == fingerprint
    others = [
        Batches(features, batch_size=8, seed=2),
        Batches(features, batch_size=4, seed=1),
        Batches(features, batch_size=8, seed=1, buckets=(72,)),
        Batches(take(features, np.arange(ROWS - 1)), batch_size=8, seed=1),
    ]
    assert fingerprint not in {other.fingerprint for other in others}


@pytest.mark.parametrize(("batch_size", "size"), [(8, 1), (4, 2), (16, 3), (200, 2)])
def test_evaluation_has_every_row_once_over_all_workers(features: Features, batch_size: int, size: int) -> None:
    shares = [list(EvaluationBatches(features, batch_size=batch_size, rank=r, size=size)) for r in range(size)]
    assert len({len(share) for share in shares}) == 1
    rows = [row for share in shares for row in _rows(share)]
    assert sorted(row for row in rows if row >= 0) == list(range(ROWS))
    for parts in zip(*shares, strict=True):
        assert len({part["input_ids"].shape for part in parts}) == 1


def test_filler_rows_are_all_padding(features: Features) -> None:
    batches = EvaluationBatches(features, batch_size=10)
    last = list(batches)[-1]
    assert len(batches) == 11
    assert last["row"].tolist()[3:] == [-1] * 7
    assert (last["input_ids"][3:] == 9).all()
    assert not last["attention_mask"][3:].any()
    assert (last["labels"][3:] == -100).all() and (last["start_positions"][3:] == -100).all()


def test_a_workers_batch_without_any_row_has_the_shapes_of_the_others(features: Features) -> None:
    few = take(features, np.arange(3))
    first, second = (list(EvaluationBatches(few, batch_size=4, rank=rank, size=2)) for rank in (0, 1))
    assert sorted(_rows(first)) == [-1, 0, 1, 2] and _rows(second) == [-1] * 4
    for name, column in first[0].items():
        assert (second[0][name].shape, second[0][name].dtype) == (column.shape, column.dtype)
    assert not second[0]["attention_mask"].any()
    assert (second[0]["labels"] == -100).all() and (second[0]["start_positions"] == -100).all()


def test_fewer_rows_than_a_batch_still_fill_it(features: Features) -> None:
    few = take(features, np.array([4, 2, 7]))
    batch = next(Batches(few, batch_size=16, seed=1).starting_at(0))
    assert batch["input_ids"].shape[0] == 16
    assert set(batch["row"].tolist()) == {0, 1, 2}


def test_similar_lengths_share_a_batch() -> None:
    lengths = np.random.default_rng(1).integers(20, 384, 5000)
    buckets = plan.choose_buckets(lengths)
    order = plan.for_training(lengths, batch_size=16, buckets=buckets, seed=0, epoch=0)
    padded = int(order.lengths.sum()) * 16
    assert padded < 1.2 * lengths.sum()  # padding all to the longest would be 1.9 times
    assert (order.lengths >= lengths[order.rows].max(1)).all()


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5, 6, 7], (7,)),
        ([30] * 90 + [384] * 10, (32, 384)),
        ([100] * 500 + [130] * 1, (130,)),  # one more would save 1.5 %
        ([100] * 500 + [190] * 50, (128, 190)),
        ([384] * 20, (384,)),
    ],
)
def test_buckets_are_chosen_by_the_lengths(lengths: list[int], expected: tuple[int, ...]) -> None:
    assert plan.choose_buckets(np.array(lengths)) == expected


def test_chosen_buckets_are_few_and_reach_the_longest_row() -> None:
    lengths = np.random.default_rng(2).integers(3, 512, 3000)
    chosen = plan.choose_buckets(lengths)
    assert 4 <= len(chosen) <= 6
    assert chosen[-1] == lengths.max()
    assert plan.complete_buckets(lengths, (64, 128)) == (64, 128, lengths.max())
    assert plan.complete_buckets(np.array([10]), (64, 128)) == (64, 128)


def test_bad_arguments_are_refused(features: Features) -> None:
    with pytest.raises(DataError, match="the data set has no rows"):
        Batches(take(features, np.array([], np.int64)), batch_size=2)
    with pytest.raises(DataError, match="batch_size is 0, expected at least 1"):
        Batches(features, batch_size=0)
    with pytest.raises(DataError, match="rank 2 of 2 workers does not exist: expected 0 to 1"):
        EvaluationBatches(features, batch_size=2, rank=2, size=2)
