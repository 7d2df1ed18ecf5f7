"""Training batches of text: every row, the same for every number of workers, and from any place on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import DataConfig, PretrainingConfig
from bert_ms.data.loader import Batches, take
from bert_ms.data.pretraining import batches as module
from bert_ms.data.pretraining import prepare
from bert_ms.data.pretraining.batches import TextBatches
from bert_ms.data.pretraining.rows import TextRows
from bert_ms.errors import DataError
from bert_ms.tokenization import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(97 + i) for i in range(26))]
LENGTH = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three files with 300 documents of up to 5 sentences of up to 20 words."""
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("text")
    for number in range(3):
        lines: list[str] = []
        for _ in range(100):
            sentences = [random.choice([*"abcdefgh"], random.integers(1, 20)) for _ in range(random.integers(1, 6))]
            lines += [*(" ".join(words) for words in sentences), ""]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


def rows_of(folder: Path, *, pairs: bool = True, masks: bool = True, storage: str = "memory", **changes) -> TextRows:
    data = DataConfig(max_length=LENGTH, storage=storage, cache_dir=str(folder.parent / "cache"))
    arguments = {"pairs": pairs, "masks": masks, "seed": 1, **changes}
    return prepare.load(folder, Tokenizer.from_vocab(PIECES), data, PretrainingConfig(), **arguments)


def batches_of(rows: TextRows, *, batch_size: int = 8, **options) -> TextBatches:
    return TextBatches(rows, batch_size=batch_size, max_length=LENGTH, seed=5, buckets=(12, 18), **options)


def taken(batches: TextBatches, count: int, at: int = 0) -> list[dict[str, np.ndarray]]:
    return list(itertools.islice(batches.starting_at(at), count))


def assert_same(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_a_batch_is_laid_out_as_bert_reads_it(folder: Path) -> None:
    rows = rows_of(folder)
    for batch in taken(batches_of(rows), 20):
        ids, mask, types = batch["input_ids"], batch["attention_mask"], batch["token_type_ids"]
        assert ids.shape[1] in (12, 18, 24) and all(column.dtype == np.int32 for column in batch.values())
        lengths = mask.sum(1)
        np.testing.assert_array_equal(lengths, rows.lengths()[batch["row"]])
        assert lengths.max() > {12: 0, 18: 12, 24: 18}[ids.shape[1]]
        assert (ids[:, 0] == 2).all() and (ids[np.arange(8), lengths - 1] == 3).all()
        assert ((ids == 3).sum(1) == 2).all() and (ids[mask == 0] == 0).all()
        middle = np.argmax(ids == 3, axis=1)
        places = np.arange(ids.shape[1])[None]
        np.testing.assert_array_equal(types, (places > middle[:, None]) & (mask > 0))
        assert set(batch["next_sentence_label"]) <= {0, 1}
        assert batch["masked_positions"].shape == batch["labels"].shape == (8, -(-ids.shape[1] * 15 // 100))


def test_packed_text_for_the_next_word_has_its_ids_as_labels(folder: Path) -> None:
    for batch in taken(batches_of(rows_of(folder, pairs=False, masks=False)), 5):
        is_token = batch["attention_mask"] > 0
        np.testing.assert_array_equal(batch["labels"], np.where(is_token, batch["input_ids"], -100))
        assert "masked_positions" not in batch and not batch["token_type_ids"].any()


@pytest.mark.parametrize("window", [10**6, 40])
def test_an_epoch_takes_every_row_once_and_fills_the_last_batch(folder: Path, window: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "RUN", 16)
    rows = rows_of(folder, limit=250)
    batches = batches_of(rows, window=window)
    orders = []
    for epoch in range(2):
        seen = np.concatenate([batch["row"] for batch in taken(batches, batches.per_epoch, epoch * batches.per_epoch)])
        assert set(seen) == set(range(len(rows))) and len(seen) - len(rows) < 8
        orders.append(seen)
    assert (orders[0] != orders[1]).mean() > 0.9


@pytest.mark.parametrize("window", [10**6, 40])
def test_batches_begin_anywhere(folder: Path, window: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "RUN", 16)
    batches = batches_of(rows_of(folder, limit=250), window=window)
    whole = taken(batches, 2 * batches.per_epoch + 9)
    for at in (1, 7, batches.per_epoch - 1, batches.per_epoch, batches.per_epoch + 13):
        assert_same(taken(batches, len(whole) - at, at), whole[at:])


def test_two_workers_have_the_rows_of_one_with_twice_the_batch(folder: Path) -> None:
    rows = rows_of(folder)
    alone = batches_of(rows, batch_size=8)
    pair = [batches_of(rows, batch_size=4, rank=rank, size=2) for rank in range(2)]
    assert {each.per_epoch for each in pair} == {alone.per_epoch}
    assert {each.fingerprint for each in pair} == {alone.fingerprint}
    count = alone.per_epoch + 3
    joined = [
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        for parts in zip(*(taken(each, count) for each in pair), strict=True)
    ]
    assert_same(joined, taken(alone, count))


def test_masks_are_new_each_epoch_but_the_text_is_not(folder: Path) -> None:
    rows = rows_of(folder)
    first, second = (rows.batch(np.arange(50), LENGTH, epoch=epoch) for epoch in (0, 1))
    assert (first["input_ids"] != second["input_ids"]).any(axis=1).mean() > 0.9

    def restored(batch: dict[str, np.ndarray]) -> np.ndarray:
        ids, (row, place) = batch["input_ids"].copy(), np.nonzero(batch["labels"] != -100)
        ids[row, batch["masked_positions"][row, place]] = batch["labels"][row, place]
        return ids

    np.testing.assert_array_equal(restored(first), restored(second))


def test_text_on_disk_gives_the_same_batches_as_text_in_memory(folder: Path) -> None:
    in_memory, on_disk = rows_of(folder), rows_of(folder, storage="mindrecord")
    assert isinstance(on_disk.corpus.ids, np.memmap) and isinstance(on_disk.examples, np.memmap)
    assert in_memory.fingerprint() == on_disk.fingerprint()
    assert_same(taken(batches_of(in_memory), 30), taken(batches_of(on_disk), 30))
    assert_same(taken(batches_of(on_disk), 30), taken(batches_of(rows_of(folder, storage="mindrecord")), 30))


def test_what_changes_the_rows_changes_the_fingerprint(folder: Path) -> None:
    rows = rows_of(folder)
    others = [rows_of(folder, seed=2), rows_of(folder, limit=50), rows_of(folder, pairs=False)]
    found = {batches_of(each).fingerprint for each in (rows, *others)}
    found.add(TextBatches(rows, batch_size=8, max_length=LENGTH, seed=6, buckets=(12, 18)).fingerprint)
    assert len(found) == 5


def test_buckets_are_multiples_of_128_up_to_the_longest_row(folder: Path) -> None:
    rows = rows_of(folder)
    assert TextBatches(rows, batch_size=8, max_length=512).buckets == (128, 256, 384, 512)
    assert TextBatches(rows, batch_size=8, max_length=200, buckets=(64,)).buckets == (64, 200)


def test_static_masks_are_kept_in_mindrecord_and_streamed(folder: Path) -> None:
    rows = rows_of(folder, storage="mindrecord", copies=3, limit=400)
    data = DataConfig(max_length=LENGTH, storage="mindrecord", cache_dir=str(folder.parent / "cache"))
    kept = prepare.static(rows, data)
    assert not hasattr(kept, "input_ids"), "expected a source that streams"
    expected = rows.features(np.arange(400))
    chosen = np.array([3, 399, 3, 77])
    streamed, direct = next(kept.stream([chosen])), take(expected, chosen)
    np.testing.assert_array_equal(streamed.input_ids, direct.input_ids)
    assert set(streamed.labels) == {"masked_positions", "labels", "next_sentence_label"}
    for name, column in direct.labels.items():
        np.testing.assert_array_equal(streamed.labels[name], column)
    batch = next(Batches(kept, batch_size=4, seed=1).starting_at(0))
    assert batch["labels"].shape == (4, 4) and batch["next_sentence_label"].shape == (4,)


def test_copies_have_masks_of_their_own(folder: Path) -> None:
    rows = rows_of(folder, pairs=False, copies=2)
    half = len(rows) // 2
    features = [rows.features(np.arange(begin, begin + 5)) for begin in (0, half)]
    assert not np.array_equal(features[0].labels["masked_positions"], features[1].labels["masked_positions"])


def test_no_rows_and_no_worker_are_errors(folder: Path) -> None:
    with pytest.raises(DataError, match="makes no examples"):
        batches_of(rows_of(folder, limit=0))
    with pytest.raises(DataError, match="rank 2 of 2"):
        batches_of(rows_of(folder), rank=2, size=2)


def test_text_without_documents_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "one.txt").write_text("a b\nc d\ne f\n")
    rows_of(tmp_path / "one.txt")
    assert "one.txt is a single document" in caplog.text and "pretraining.text=paragraphs" in caplog.text


def test_manifests_say_what_the_arrays_are(folder: Path) -> None:
    rows = rows_of(folder, storage="mindrecord")
    found = {
        path.parent.name.split("-")[0]: json.loads(path.read_text())
        for path in (folder.parent / "cache").glob("*/manifest.json")
        if path.parent.name.startswith(("corpus", "examples"))
    }
    assert found["corpus"]["facts"]["documents"] == 300
    assert found["corpus"]["arrays"]["ids"] == ["<i4", [len(rows.corpus.ids)]]
