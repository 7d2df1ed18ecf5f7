"""The table of tasks says what is there, and names what is not."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from bert_ms import tasks
from bert_ms.config import DataConfig, EvaluationConfig, RunConfig
from bert_ms.errors import ConfigError
from bert_ms.tokenization import Tokenizer
from tests import tiny


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown task 'question-anwering': did you mean 'question-answering'\?"):
        tasks.get("question-anwering")


def test_a_pipelines_name_is_answered_with_the_task():
    """Of `text-classification` the nearest name is another task's: token-classification."""
    with pytest.raises(ConfigError, match=r"'text-classification': it is called 'sequence-classification' here\.$"):
        tasks.get("text-classification")
    assert tasks.no_task("fill-mask").endswith("it is called 'masked-lm' here.")


def test_every_lazy_name_can_be_imported():
    kinds = ("head", "objective", "scorer", "work")
    found = [(name, what) for name in tasks.names() for what in kinds if getattr(tasks.get(name), what)]
    assert len(found) >= 2
    for name, what in found:
        assert tasks.get(name).load(what).__name__ in str(getattr(tasks.get(name), what))


def test_a_task_without_scores_says_which_have_them():
    with pytest.raises(ConfigError, match=r"'encoder' has no work: .*Choose from: .*question-answering"):
        tasks.get("encoder").load("work")


def test_outputs_that_are_one_a_row_are_among_the_outputs():
    for name in tasks.names():
        assert set(tasks.get(name).row_outputs) <= set(tasks.get(name).outputs)


def test_listing_tasks_imports_no_mindspore():
    code = "import sys; from bert_ms import tasks; tasks.names(); sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tiny.SAMPLE.parent.parent).returncode == 0


class TestQuestionAnswering:
    """From a file to scores, with logits that were made up."""

    def work(self, **evaluation):
        config = RunConfig(
            data=DataConfig(max_length=192, stride=32, workers=1), evaluation=EvaluationConfig(**evaluation)
        )
        return tasks.get("question-answering").load("work")(config, Tokenizer.from_vocab(tiny.vocabulary()))

    def perfect_outputs(self, work, path) -> dict[str, np.ndarray]:
        """Logits that point at the labels of each row."""
        features = work.prepare(path, "train").features
        outputs = {}
        for name, label in (("start_logits", "start_positions"), ("end_logits", "end_positions")):
            logits = np.full(len(features.input_ids), -9.0, np.float32)
            logits[features.row_splits[:-1] + features.labels[label]] = 9.0
            outputs[name] = logits
        return outputs

    def test_logits_that_point_at_the_answers_score_100(self, tmp_path):
        path, work = tiny.questions(tmp_path / "some.json", 6), self.work()
        prepared = work.prepare(path, "evaluate")
        scores = work.score(prepared, work.decode(prepared, self.perfect_outputs(work, path)))
        assert (scores["exact_match"], scores["f1"], scores["total"]) == (100.0, 100.0, 6)

    def test_prediction_files_hold_every_question(self, tmp_path):
        path, work = tiny.questions(tmp_path / "some.json", 6), self.work()
        prepared = work.prepare(path, "predict")
        written = work.write(tmp_path, prepared, work.decode(prepared, self.perfect_outputs(work, path)))
        assert [file.name for file in written] == ["predictions.json", "nbest_predictions.json"]
        assert len(json.loads(written[0].read_text())) == 6

    def test_a_searched_threshold_is_used_and_told(self, tmp_path):
        path = tiny.questions(tmp_path / "some.json", 6)
        content = json.loads(path.read_text())
        for number, paragraph in enumerate(content["data"][0]["paragraphs"]):
            question = paragraph["qas"][0]
            question["is_impossible"] = number % 2 == 0
            if question["is_impossible"]:
                question["answers"] = []
        path.write_text(json.dumps(content))
        fixed, searching = self.work(null_threshold=math.inf), self.work(null_threshold="search")
        prepared = searching.prepare(path, "evaluate")
        outputs = self.perfect_outputs(searching, path)
        unsearched = fixed.score(prepared, fixed.decode(prepared, outputs))
        searched = searching.score(prepared, searching.decode(prepared, outputs))
        assert unsearched["NoAns_f1"] == 0.0
        assert searched["f1"] == searched["best_f1"] == 100.0
        assert "best_f1_thresh" in searched
