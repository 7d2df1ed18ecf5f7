"""The work of token classification: from a file to scores, with logits that were made up."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms import tasks
from bert_ms.config import BertConfig, DataConfig, ModelConfig, RunConfig
from bert_ms.data import storage
from bert_ms.errors import ConfigError, DataError
from bert_ms.tasks.token_classification import TokenClassificationWork
from bert_ms.tokenization import Tokenizer
from tests import tiny

TEXT = "the\tO\nking\tI-PER\nof\tO\nFrance\tI-LOC\n\nhe\tO\nsaw\tO\nNew\tI-LOC\nYork\tI-LOC\nParis\tB-LOC\n"
FOUND = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TOKENIZER = Tokenizer.from_vocab(tiny.vocabulary())


def work(
    *, known: BertConfig | None = None, head: str = "softmax", max_length: int = 32, **data: Any
) -> TokenClassificationWork:
    config = RunConfig(
        task="token-classification",
        model=ModelConfig(token_head=head),  # type: ignore[arg-type]
        data=DataConfig(max_length=max_length, workers=1, **data),
    )
    made: TokenClassificationWork = tasks.get("token-classification").load("work")(config, TOKENIZER, known)
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some.conll"
    path.write_text(TEXT, encoding="utf-8")
    return path


def perfect(doing: TokenClassificationWork, file: Path) -> dict[str, np.ndarray]:
    """Logits that want every word's gold tag, under the columns of the labels."""
    features = doing.prepare(file, "train").features
    labels = features.labels["labels"]
    logits = np.zeros((len(labels), len(doing.labels)), np.float32)
    logits[np.flatnonzero(labels >= 0), labels[labels >= 0]] = 5.0
    return {"logits": logits}


@pytest.mark.parametrize("max_length", [8, 32])
def test_logits_that_want_the_gold_tags_score_100(file: Path, max_length: int) -> None:
    doing = work(max_length=max_length, stride=3)
    outputs = perfect(doing, file)
    prepared = doing.prepare(file, "evaluate")
    scores = doing.score(prepared, doing.decode(prepared, outputs))
    assert scores.pop("entities") == 4
    assert set(scores.values()) == {100.0}
    task = tasks.get("token-classification")
    assert set(task.metrics) == set(scores) and task.metric == "f1"


def test_labels_are_those_of_the_training_file_in_order(file: Path) -> None:
    doing = work()
    assert doing.network_fields() == {}
    doing.prepare(file, "train")
    assert doing.labels == FOUND
    assert doing.network_fields() == {"labels": FOUND, "num_labels": 5, "has_crf": False, "has_lstm": False}


@pytest.mark.parametrize(
    ("head", "crf", "lstm"), [("crf", True, False), ("lstm", False, True), ("lstm_crf", True, True)]
)
def test_a_run_that_trains_makes_the_head_that_it_names(file: Path, head: str, crf: bool, lstm: bool) -> None:
    doing = work(head=head)
    doing.prepare(file, "train")
    fields = doing.network_fields()
    assert (fields["has_crf"], fields["has_lstm"]) == (crf, lstm)


def test_a_trained_network_keeps_its_labels_and_its_head(file: Path) -> None:
    labels = ("B-LOC", "I-LOC", "O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    known = BertConfig(labels=labels, has_crf=True)
    doing = work(known=known)
    doing.prepare(file, "evaluate")
    assert doing.labels == labels
    assert "has_crf" not in doing.network_fields()
    training_on = work(known=known, head="crf")
    training_on.prepare(file, "train")
    assert training_on.labels == labels


def test_a_network_without_labels_cannot_be_scored(file: Path) -> None:
    with pytest.raises(ConfigError, match="minilm has no labels of words: train it first"):
        work(known=BertConfig()).prepare(file, "evaluate")
    with pytest.raises(ConfigError, match="the labels '0', '1' are no tags: expected O"):
        work(known=BertConfig(num_labels=2)).prepare(file, "evaluate")
    doing = work(known=BertConfig(num_labels=5), labels=FOUND)
    doing.prepare(file, "evaluate")
    assert doing.labels == FOUND


def test_types_that_the_network_does_not_know_are_told_and_missed(file: Path, caplog: Any) -> None:
    doing = work(known=BertConfig(labels=("O", "B-PER", "I-PER")))
    with caplog.at_level(logging.WARNING):
        prepared = doing.prepare(file, "evaluate")
    assert "the network has no label for LOC, which it will miss" in caplog.text
    logits = np.zeros((len(prepared.features.input_ids), 3), np.float32)
    assert doing.score(prepared, doing.decode(prepared, {"logits": logits}))["recall"] == 0.0


def test_tags_outside_the_labels_that_are_given_cannot_be_learned(file: Path) -> None:
    with pytest.raises(DataError, match="has the tag 'B-LOC', expected one of O, B-PER, I-PER"):
        work(labels=("O", "B-PER", "I-PER")).prepare(file, "train")


def test_files_are_written_with_scores_where_gold_tags_are_known(file: Path, tmp_path: Path) -> None:
    doing = work()
    outputs = perfect(doing, file)
    prepared = doing.prepare(file, "evaluate")
    written = doing.write(tmp_path / "a", prepared, doing.decode(prepared, outputs))
    assert [path.name for path in written] == ["predictions.conll", "predictions.jsonl", "entities.json"]
    scores = json.loads(written[2].read_text())
    assert scores["default"]["LOC"]["support"] == 3 and scores["strict"]["micro average"]["f1"] == 100.0
    words = tmp_path / "words.txt"
    words.write_text("".join(line.split("\t")[0] + "\n" for line in TEXT.splitlines()))
    asked = doing.prepare(words, "predict")
    predicted = doing.decode(asked, outputs)
    assert [path.name for path in doing.write(tmp_path / "b", asked, predicted)] == [
        "predictions.conll", "predictions.jsonl",
    ]  # fmt: skip
    line = json.loads((tmp_path / "b" / "predictions.jsonl").read_text().splitlines()[1])
    assert [(e["type"], e["text"], e["start"], e["end"]) for e in line["entities"]] == [
        ("LOC", "New York", 7, 15), ("LOC", "Paris", 16, 21),
    ]  # fmt: skip


def test_labels_are_those_of_the_whole_training_file_however_much_is_used(file: Path) -> None:
    file.write_text("a\tO\n\n" + TEXT)
    doing = work(max_train_examples=1)
    assert len(doing.prepare(file, "train").examples) == 1
    assert doing.labels == FOUND


def test_features_are_kept_in_the_cache_for_training_and_evaluation(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, kept = work(storage="memory"), work(cache_dir=str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "SMALL_FILE_BYTES", 0)
    for _ in range(2):
        found, expected = kept.prepare(file, "train").features, plain.prepare(file, "train").features
        np.testing.assert_array_equal(found.labels["labels"], expected.labels["labels"])
        again, evaluated = kept.prepare(file, "evaluate").features, plain.prepare(file, "evaluate").features
        np.testing.assert_array_equal(again.in_context, evaluated.in_context)
        assert again.meta["silent_words"] == evaluated.meta["silent_words"]
    assert len(list((tmp_path / "cache").glob("features-*[0-9a-f]"))) == 2


def test_decoding_gets_the_steps_of_a_crf_beside_the_outputs(pynative_mode: None) -> None:
    from bert_ms.model import build
    from bert_ms.training.evaluation import decoding_weights

    task = tasks.get("token-classification")
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 8, "labels": FOUND}  # fmt: skip
    with_crf = build(BertConfig(**sizes, has_crf=True), task.name)
    assert decoding_weights(with_crf, task)["crf.transitions"].shape == (7, 7)
    assert decoding_weights(build(BertConfig(**sizes), task.name), task) == {}
