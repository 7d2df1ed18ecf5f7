"""Rows of texts and pairs equal those of the tokenizer; rows of one example go to the network together."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import DataConfig
from bert_ms.data import mindrecord, ragged, storage, text_features
from bert_ms.data.loader import Batches, EvaluationBatches
from bert_ms.errors import DataError
from bert_ms.records import INPUT_NAMES, LABELS, Features
from bert_ms.tokenization import Tokenizer
from bert_ms.tokenization.windows import longest_first
from tests import tiny

TEXTS = ["the king", "", "they were happy to see it " * 4, "no one was there", "it was a good year " * 3]
PAIRS = ["of the army", "was long", "and the town", None, "it was a good year for the city " * 3]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(tiny.vocabulary())


@pytest.mark.parametrize("max_length", [5, 16, 17, 64])
def test_rows_equal_those_of_the_tokenizer(tokenizer: Tokenizer, max_length: int) -> None:
    features = text_features.featurize(TEXTS, PAIRS, tokenizer, max_length=max_length)
    expected = [
        tokenizer.encode(text, pair, max_length=max_length, truncation="longest_first")
        for text, pair in zip(TEXTS, PAIRS, strict=True)
    ]
    for row, encoding in enumerate(expected):
        place = slice(*features.row_splits[row : row + 2])
        assert features.input_ids[place].tolist() == encoding.input_ids
        assert features.token_type_ids[place].tolist() == encoding.token_type_ids
    whole = [len(tokenizer.encode(text, pair)) for text, pair in zip(TEXTS, PAIRS, strict=True)]
    assert features.meta["cut"] == sum(length > max_length for length in whole)


def test_many_pairs_are_cut_as_one_is() -> None:
    numbers = list(itertools.product(range(8), range(8), range(8)))
    first, second, room = np.array(numbers).T
    expected = [longest_first(*each) for each in numbers]
    assert np.stack(text_features.kept(first, second, room), 1).tolist() == [list(each) for each in expected]


def test_a_length_without_room_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="max_length is 3, expected more than 3"):
        text_features.featurize(["a"], [None], tokenizer, max_length=3)


def groups(count: int = 7, size: int = 3) -> Features:
    """`count` examples of `size` rows of different length; tokens of a row are its number, its label its group's."""
    lengths = np.random.default_rng(3).integers(2, 9, count * size)
    numbers = np.repeat(np.arange(count * size, dtype=np.int32), lengths)
    labels = {LABELS: np.repeat(np.arange(count, dtype=np.int32) % size, size)}
    return Features(numbers + 100, numbers % 2, ragged.splits(lengths), labels, meta={"group": size})


def test_groups_of_rows_stay_together() -> None:
    features = groups()
    batches = Batches(features, batch_size=2, seed=5, buckets=(10,))
    assert batches.per_epoch == 4
    seen = []
    for batch in itertools.islice(batches.starting_at(0), batches.per_epoch):
        assert all(batch[name].shape == (2, 3, 10) for name in INPUT_NAMES)
        assert batch[LABELS].shape == batch["row"].shape == (2,)
        for group, ids, label in zip(batch["row"], batch[INPUT_NAMES[0]], batch[LABELS], strict=True):
            assert (ids[:, 0] - 100).tolist() == [3 * group, 3 * group + 1, 3 * group + 2]
            assert label == group % 3
        seen += batch["row"].tolist()
    assert set(seen) == set(range(7))


def test_evaluation_sees_every_group_once_on_all_workers() -> None:
    features = groups()
    seen = []
    for rank in range(2):
        for batch in EvaluationBatches(features, batch_size=2, buckets=(10,), rank=rank, size=2):
            is_filler = batch["row"] < 0
            assert batch["attention_mask"][is_filler].sum() == 0 and (batch[LABELS][is_filler] == -100).all()
            seen += batch["row"][~is_filler].tolist()
    assert sorted(seen) == list(range(7))
    assert features.group_splits().tolist() == features.row_splits[::3].tolist()


def test_groups_that_are_not_whole_are_refused() -> None:
    features = groups()
    broken = Features(features.input_ids, features.token_type_ids, features.row_splits, meta={"group": 4})
    with pytest.raises(DataError, match="21 rows do not make groups of 4"):
        Batches(broken, batch_size=2)


def test_all_ways_to_keep_groups_give_the_same_batches(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "SMALL_FILE_BYTES", 0)
    (tmp_path / "some.csv").write_text("content", encoding="utf-8")
    taken = {}
    for kind in ("memory", "auto", "mindrecord"):
        config = DataConfig(storage=kind, cache_dir=str(tmp_path / "cache"))  # type: ignore[arg-type]
        source = storage.features_of(
            tmp_path / "some.csv", groups, config, tokenizer, is_training=True, version=1, kind="test"
        )
        assert isinstance(source, mindrecord.Rows) == (kind == "mindrecord")
        batches = Batches(source, batch_size=2, seed=1)
        taken.setdefault(batches.fingerprint, []).append(list(itertools.islice(batches.starting_at(2), 6)))
    ((first, *others),) = taken.values()
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
