"""Labels are found, kept with the network, and checked; files for people and leaderboards hold what was predicted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_ms import tasks
from bert_ms.config import BertConfig, DataConfig, ModelConfig, RunConfig, TrainingConfig
from bert_ms.errors import ConfigError, DataError
from bert_ms.pipelines.loading import data_file, needed_file
from bert_ms.pipelines.training_run import resolved
from bert_ms.tasks.work import Work
from bert_ms.tokenization import Tokenizer
from tests import tiny

SEQUENCE = "sequence-classification"
OWN = {"text_column": "text", "label_column": "label", "max_length": 32, "workers": 1}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocab(tiny.vocabulary())


def config_of(task: str = SEQUENCE, *, metric: str | None = None, problem_type: Any = "auto", **data: Any) -> RunConfig:
    return RunConfig(
        task=task,
        data=DataConfig(**data),
        model=ModelConfig(problem_type=problem_type),
        training=TrainingConfig(metric=metric),
    )


def work_of(tokenizer: Tokenizer, config: RunConfig, known: BertConfig | None = None) -> Work:
    work: Work = tasks.get(config.task).load("work")(config, tokenizer, known)
    return work


def table(folder: Path, *labels: str, name: str = "train.csv") -> Path:
    rows = "".join(f"text {number},{label}\n" for number, label in enumerate(labels))
    (folder / name).write_text("text,label\n" + rows, encoding="utf-8")
    return folder / name


def known(*labels: str, **changes: Any) -> BertConfig:
    return BertConfig(labels=labels, task=SEQUENCE, **changes)


class TestLabels:
    def test_found_labels_go_to_the_network_in_sorted_order(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN))
        prepared = work.prepare(table(tmp_path, "b", "a", "c", "b"), "train")
        assert work.network_fields() == {
            "labels": ("a", "b", "c"), "num_labels": 3, "problem_type": "single_label_classification"
        }  # fmt: skip
        labels = prepared.features.labels["labels"]
        assert (labels.dtype, labels.tolist()) == (np.int32, [1, 0, 2, 1])

    def test_a_part_of_a_file_has_the_labels_of_all_of_it(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN, max_train_examples=2))
        assert len(work.prepare(table(tmp_path, "a", "a", "b"), "train").examples) == 2
        assert work.network_fields()["labels"] == ("a", "b")

    def test_a_trained_network_that_knows_them_keeps_its_own_order(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN), known("c", "b", "a"))
        work.prepare(table(tmp_path, "a", "b"), "train")
        assert work.network_fields()["labels"] == ("c", "b", "a")

    def test_a_network_of_another_task_has_no_say(self, tmp_path, tokenizer):
        other = dataclasses.replace(known("b", "a"), task="token-classification")
        work = work_of(tokenizer, config_of(**OWN), other)
        work.prepare(table(tmp_path, "a", "b"), "train")
        assert work.network_fields()["labels"] == ("a", "b")

    def test_given_labels_stand_as_they_are(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN, labels=("b", "a")), known("a", "b"))
        work.prepare(table(tmp_path, "a", "b"), "train")
        assert work.network_fields()["labels"] == ("b", "a")

    def test_a_trained_network_needs_none(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN), known("b", "a"))
        prepared = work.prepare(table(tmp_path, "a", "b"), "evaluate")
        predictions = work.decode(prepared, {"logits": np.array([[0, 1], [1, 0]], np.float32)})
        assert [p.label for p in predictions] == ["a", "b"]
        assert work.score(prepared, predictions)["accuracy"] == 100.0

    def test_a_label_that_training_did_not_have_is_named(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN))
        work.prepare(table(tmp_path, "a", "b"), "train")
        with pytest.raises(DataError, match="line 3: label 'c' is not known: labels are a, b"):
            work.prepare(table(tmp_path, "a", "c", name="dev.csv"), "evaluate")

    def test_one_label_is_nothing_to_learn(self, tmp_path, tokenizer):
        with pytest.raises(DataError, match=r"has 1 different label \(a\), expected at least 2: is data.label_column"):
            work_of(tokenizer, config_of(**OWN)).prepare(table(tmp_path, "a", "a"), "train")

    def test_other_labels_than_the_networks_are_refused(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN, labels=("x", "y")), known("a", "b"))
        with pytest.raises(ConfigError, match=r"data.labels is \[x, y\], but the network has \[a, b\]"):
            work.prepare(table(tmp_path, "a"), "predict")

    def test_a_network_without_labels_is_to_be_trained_first(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN), BertConfig())
        work.prepare(table(tmp_path, "a"), "predict")
        with pytest.raises(ConfigError, match=r"minilm has no labels of texts: train it first, .*data.labels=\[a, b\]"):
            work.network_fields()

    def test_labels_without_names_are_numbers_or_those_of_the_data_set(self, tmp_path, tokenizer):
        path = tmp_path / "test.tsv"
        path.write_text("index\tsentence1\tsentence2\n0\ta\tb\n", encoding="utf-8")
        unnamed = BertConfig(num_labels=2, task=SEQUENCE)
        columns = {"text_column": "sentence1", "pair_column": "sentence2"}
        for data, expected in ((columns, ("0", "1")), ({"dataset": "rte"}, ("entailment", "not_entailment"))):
            work = work_of(tokenizer, config_of(**data), unnamed)
            work.prepare(path, "predict")
            assert work.network_fields()["labels"] == expected

    def test_pairs_need_a_network_that_tells_two_texts_apart(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN, pair_column="label"), known("a", "b", type_vocab_size=1))
        with pytest.raises(ConfigError, match="tells 1 kind of token apart .* pairs of texts need 2"):
            work.prepare(table(tmp_path, "a"), "predict")

    def test_next_sentence_reads_pairs_only_and_two_labels(self, tmp_path, tokenizer):
        with pytest.raises(ConfigError, match="data.pair_column is not given"):
            work_of(tokenizer, config_of("next-sentence", **OWN)).prepare(table(tmp_path, "0", "1"), "train")
        with pytest.raises(ConfigError, match=r"data.labels is \[a\]: expected two"):
            work_of(tokenizer, config_of("next-sentence", **OWN, labels=("a",))).prepare(table(tmp_path, "a"), "train")


class TestMetric:
    @pytest.mark.parametrize(
        ("data", "options", "expected"),
        [
            ({"dataset": "mrpc"}, {}, "f1"),
            ({"dataset": "stsb"}, {}, "pearson"),
            ({"dataset": "cola"}, {}, "matthews"),
            ({"dataset": "mnli"}, {}, "accuracy"),
            ({"dataset": "mrpc"}, {"metric": "accuracy"}, "accuracy"),
            (OWN, {"problem_type": "regression"}, "pearson"),
            ({**OWN, "label_separator": ";"}, {}, "micro_f1"),
            (OWN, {}, "accuracy"),
        ],
    )
    def test_the_score_that_decides_follows_from_the_data(self, data, options, expected):
        config = config_of(**data, **options)
        assert resolved(config, tasks.get(SEQUENCE)).training.metric == expected

    def test_numbers_with_a_fraction_are_seen(self, tmp_path):
        path = table(tmp_path, "1", "2.5")
        config = config_of(**OWN, train_file=str(path))
        assert resolved(config, tasks.get(SEQUENCE)).training.metric == "pearson"

    @pytest.mark.parametrize(
        ("metric", "labels"), [("f1", ("a", "b", "c")), ("pearson", ("a", "b")), ("accuracy", ("1.5", "2"))]
    )
    def test_a_score_that_the_labels_do_not_have_is_refused_before_training(self, tmp_path, tokenizer, metric, labels):
        work = work_of(tokenizer, config_of(**OWN, metric=metric))
        with pytest.raises(ConfigError, match=f"training.metric is {metric}, but labels are .* whose scores are"):
            work.prepare(table(tmp_path, *labels), "train")


class TestFiles:
    def predicted(self, folder: Path, tokenizer: Tokenizer, dataset: str, name: str, content: str, logits: Any) -> Path:
        (folder / name).write_text(content, encoding="utf-8")
        work = work_of(tokenizer, config_of(dataset=dataset))
        prepared = work.prepare(folder / name, "predict")
        predictions = work.decode(prepared, {"logits": np.array(logits, np.float32)})
        work.write(folder / "out", prepared, predictions)
        return folder / "out"

    @pytest.mark.parametrize(
        ("dataset", "name", "header", "logits", "file", "expected"),
        [
            ("mrpc", "test.tsv", "index\t#1 String\t#2 String", [[1, 0], [0, 1]], "MRPC.tsv", ["0", "1"]),
            ("rte", "test.tsv", "index\tsentence1\tsentence2", [[1, 0], [0, 1]], "RTE.tsv",
             ["entailment", "not_entailment"]),
            ("stsb", "test.tsv", "index\tsentence1\tsentence2", [[5.2], [2.34567]], "STS-B.tsv", ["5.000", "2.346"]),
            ("mnli", "test_matched.tsv", "index\tsentence1\tsentence2", [[1, 0, 0], [0, 0, 1]], "MNLI-m.tsv",
             ["entailment", "contradiction"]),
            ("mnli", "test_mismatched.tsv", "index\tsentence1\tsentence2", [[1, 0, 0], [0, 1, 0]], "MNLI-mm.tsv",
             ["entailment", "neutral"]),
        ],
    )  # fmt: skip
    def test_glue_takes_an_index_and_a_prediction(
        self, tmp_path, tokenizer, dataset, name, header, logits, file, expected
    ):
        rows = "3\tone\ttwo\n8\tone\ttwo\n"
        folder = self.predicted(tmp_path, tokenizer, dataset, name, f"{header}\n{rows}", logits)
        lines = (folder / file).read_text().splitlines()
        assert lines == ["index\tprediction", f"3\t{expected[0]}", f"8\t{expected[1]}"]
        assert {path.name for path in folder.iterdir()} == {"predictions.tsv", "predictions.jsonl", file}

    def test_clue_takes_objects(self, tmp_path, tokenizer):
        logits = np.eye(15)[[7]]
        folder = self.predicted(tmp_path, tokenizer, "tnews", "test.json", '{"id": 4, "sentence": "one"}\n', logits)
        assert json.loads((folder / "tnews_predict.json").read_text()) == {"id": 4, "label": "108"}

    def test_people_see_text_label_and_probability(self, tmp_path, tokenizer):
        work = work_of(tokenizer, config_of(**OWN), known("a", "b"))
        prepared = work.prepare(table(tmp_path, "a"), "evaluate")
        work.write(tmp_path / "out", prepared, work.decode(prepared, {"logits": np.array([[0.0, np.log(4.0)]])}))
        table_lines = (tmp_path / "out" / "predictions.tsv").read_text().splitlines()
        assert table_lines == ["id\tprediction\tprobability\tlabel\ttext", "0\tb\t0.8000\ta\ttext 0"]
        line = json.loads((tmp_path / "out" / "predictions.jsonl").read_text())
        assert line == {"id": "0", "prediction": "b", "label": "a", "probabilities": {"a": 0.2, "b": 0.8}}


def test_messages_about_files_fit_the_task():
    config = config_of(train_file="sample")
    with pytest.raises(ConfigError, match="data.train_file is sample: .*The packaged sample holds questions"):
        data_file(config, "train_file")
    with pytest.raises(ConfigError, match=r"data.eval_file is not given: name the file to score: eval_file=FILE\."):
        needed_file(config, "eval_file", "evaluate")
    with pytest.raises(ConfigError, match="name the file to score, or `sample`"):
        needed_file(RunConfig(), "eval_file", "evaluate")
