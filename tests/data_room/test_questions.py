"""A run's configuration decides how a file is read, cut and kept."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from bert_ms.config import DataConfig
from bert_ms.data import mindrecord, question_features, questions, squad
from bert_ms.data import storage as stored
from bert_ms.data.loader import Batches
from bert_ms.records import Features
from bert_ms.tokenization import Tokenizer
from tests.support import golden, shared_data


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(shared_data("vocab/bert-base-uncased-vocab.txt"))


def _config(directory: Path, **changes: object) -> DataConfig:
    options: dict[str, object] = {"max_length": 128, "stride": 32, "cache_dir": str(directory / "cache"), **changes}
    return DataConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("storage", ["auto", "memory"])
def test_small_files_stay_in_memory(tmp_path: Path, tokenizer: Tokenizer, storage: str) -> None:
    data, features = questions.prepare(
        golden("squad_features/squad.json"), tokenizer, _config(tmp_path, storage=storage), is_training=True
    )
    assert data.with_negatives and len(data.examples) == 60
    assert isinstance(features, Features) and "start_positions" in features.labels
    assert not (tmp_path / "cache").exists()


def test_all_ways_to_keep_features_give_the_same_batches(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "SMALL_FILE_BYTES", 0)
    path = golden("squad_features/squad.json")
    taken = {}
    for storage in ("memory", "auto", "mindrecord"):
        for _ in range(2):  # built, then found
            _, source = questions.prepare(path, tokenizer, _config(tmp_path, storage=storage), is_training=True)
            batches = Batches(source, batch_size=8, seed=1)
            taken.setdefault(batches.fingerprint, []).append(list(itertools.islice(batches.starting_at(3), 20)))
        assert isinstance(source, mindrecord.Rows) == (storage == "mindrecord")
    ((first, *others),) = taken.values()
    assert len(others) == 5
    for other in others:
        for a, b in zip(first, other, strict=True):
            assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_what_is_found_for_evaluation_can_be_decoded(
    tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = golden("squad_features/squad.json")
    config = _config(tmp_path, storage="mindrecord")
    built = questions.prepare(path, tokenizer, config, is_training=False)[1]
    monkeypatch.setattr(question_features, "featurize", None)  # from now on only the cache can give them
    found = questions.prepare(path, tokenizer, config, is_training=False)[1]
    for features in (built, found):
        assert isinstance(features, Features)
        assert features.offsets is not None and features.in_context is not None and not features.labels
    assert isinstance(built, Features) and isinstance(found, Features)
    assert np.array_equal(built.input_ids, found.input_ids)
    assert built.offsets is not None and np.array_equal(built.offsets, np.asarray(found.offsets))


def test_other_arguments_are_not_answered_from_the_cache(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = golden("squad_features/squad.json")
    counts = set()
    for changes in ({}, {"max_length": 112}, {"windows": "step"}, {"max_eval_examples": 30}, {"with_negatives": False}):
        config = _config(tmp_path, storage="mindrecord", **changes)
        counts.add(len(questions.prepare(path, tokenizer, config, is_training=False)[1].lengths()))
    assert len(counts) == 5
    assert len(list((tmp_path / "cache").glob("features-*.lock"))) == 5


def test_bad_answers_matter_for_training_only(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "data.json"
    text = golden("squad_features/squad.json").read_text().replace('"answer_start": 719', '"answer_start": 718')
    path.write_text(text)
    config = _config(tmp_path)
    assert len(questions.prepare(path, tokenizer, config, is_training=False)[0].examples) == 60
    with pytest.raises(squad.DataError, match="is not at answer_start 718"):
        questions.prepare(path, tokenizer, config, is_training=True)
