"""Runs from end to end with a tiny network: what they leave behind, and what interruptions change (nothing)."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_ms.config import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizerConfig,
    PrecisionConfig,
    RunConfig,
    TrainingConfig,
)
from bert_ms.config.loading import dump
from bert_ms.errors import ConfigError, DeviceError, TrainingError
from bert_ms.pipelines import runs
from bert_ms.training.lock import run_lock
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]

COMMAND = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from bert_ms.config.loading import resolve_config
from bert_ms.errors import BertMsError
from bert_ms.pipelines import runs

try:
    result = runs.train(resolve_config(sys.argv[1]))
except BertMsError as error:
    sys.exit(str(error))
print("status:", result.status)
sys.exit(result.exit_status)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A tiny model's folder."""
    from bert_ms import compat

    compat.use_device("cpu")
    return tiny.model(tmp_path_factory.mktemp("model") / "tiny")


def config_for(source: Path, folder: Path, *, questions: int = 24, name: str = "run", **training: Any) -> RunConfig:
    training = {
        "epochs": 3.0,
        "batch_size": 8,
        "tensorboard": False,
        "log_every": 1,
        "evaluate_before": False,
        **training,
    }
    train_file = folder / f"train{questions}.json"
    if not train_file.exists():
        tiny.questions(train_file, questions)
    return RunConfig(
        output_dir=str(folder / name),
        model=ModelConfig(source=str(source)),
        data=DataConfig(train_file=str(train_file), max_length=192, stride=32, buckets=(192,), workers=1,
                        cache_dir=str(folder / "cache")),
        optimizer=OptimizerConfig(learning_rate=1e-3),
        training=TrainingConfig(**training),
        evaluation=EvaluationConfig(batch_size=8),
    )  # fmt: skip


def with_evaluation(config: RunConfig, **training: Any) -> RunConfig:
    data = dataclasses.replace(config.data, eval_file=config.data.train_file)
    return dataclasses.replace(config, data=data, training=dataclasses.replace(config.training, **training))


def newest(folder: Path) -> Path:
    return max((folder / "checkpoints").glob("step-*"), key=lambda path: tuple(map(int, path.name[5:].split("."))))


def final_arrays(folder: Path) -> dict[str, np.ndarray]:
    path = newest(folder)
    return {
        f"{name}.{k}": v for name in ("model", "optimizer") for k, v in load_file(path / f"{name}.safetensors").items()
    }


def assert_same_end(one: Path, other: Path) -> None:
    first, second = final_arrays(one), final_arrays(other)
    assert newest(one).name.split(".")[0] == newest(other).name.split(".")[0]
    assert first.keys() == second.keys() and first
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


class Command:
    """`runs.train` in a process of its own."""

    def __init__(self, config: RunConfig):
        self.folder = Path(config.output_dir)
        place, name = self.folder.parent, self.folder.name
        dump(config, place / f"{name}.yaml")
        (place / "command.py").write_text(COMMAND, encoding="utf-8")
        self.log = place / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(place / "command.py"), str(place / f"{name}.yaml")],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=place,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def wait(self, seconds: float = 240) -> tuple[int, str]:
        """Exit status and all that was said."""
        try:
            return self.process.wait(timeout=seconds), self.log.read_text()
        finally:
            self.process.kill()

    def wait_for_step(self, step: int, seconds: float = 120) -> None:
        """Until metrics.jsonl has a line of that step, or a later one."""
        metrics = self.folder / "metrics.jsonl"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            lines = metrics.read_text().splitlines() if metrics.exists() else []
            if any(json.loads(line)["step"] >= step for line in lines if line.endswith("}")):
                return
            time.sleep(0.005)
        self.process.kill()
        raise AssertionError(f"step {step} was not reached:\n{self.wait()[1]}")


def test_a_run_leaves_its_folder_and_is_not_done_again(source, tmp_path, graph_mode, caplog):
    config = with_evaluation(config_for(source, tmp_path, epochs=2.0), evaluate_before=True)
    seen: list[int] = []
    result = runs.train(config, hooks=[runs.Hook(lambda report: seen.append(report.step), every=2)])
    assert (result.status, result.steps, result.exit_status) == ("finished", 6, 0)
    assert seen == [2, 4, 6]
    assert result.scores["total"] == 24 and result.before["total"] == 24
    left = {path.name for path in result.folder.iterdir()}
    assert left >= {
        "resolved_config.yaml", "metrics.jsonl", "train.log", "loss.png", "report.html", "checkpoints", "card.md",
        "predictions.json", "nbest_predictions.json", "eval.json", "config.json", "run", "run.ckpt", "vocab.txt",
    }  # fmt: skip
    assert len(json.loads((result.folder / "predictions.json").read_text())) == 24
    assert json.loads((result.folder / "eval.json").read_text())["f1"] == result.scores["f1"]
    with caplog.at_level(logging.INFO):
        again = runs.train(config)
    assert (again.status, again.scores) == ("finished before", result.scores)
    assert "nothing is left to do" in caplog.text


def test_a_handful_of_questions_is_learned_by_heart(source, tmp_path, graph_mode):
    config = with_evaluation(config_for(source, tmp_path, questions=8, epochs=120.0), eval_every=60)
    config = dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=0.0),
    )
    result = runs.train(config)
    assert result.scores["exact_match"] == 100.0


def test_the_published_weights_are_the_best_and_score_the_same(source, tmp_path, graph_mode):
    config = with_evaluation(config_for(source, tmp_path), eval_every=3)
    result = runs.train(config)
    again = dataclasses.replace(config, model=dataclasses.replace(config.model, source=str(result.folder)))
    scored = runs.evaluate(again)
    assert scored.scores == result.scores
    assert scored.folder == result.folder / "evaluate"
    page = (scored.folder / "report.html").read_text()
    assert "<h2>By kind of question" in page and "<h2>Curves" not in page
    for name in ("findings.json", "predictions.json"):
        assert (scored.folder / name).read_text() == (result.folder / name).read_text()
    assert (scored.folder / "predictions.json").read_text() == (result.folder / "predictions.json").read_text()


def test_predictions_need_no_answers(source, tmp_path, graph_mode):
    config = config_for(source, tmp_path)
    content = json.loads(Path(str(config.data.train_file)).read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        del paragraph["qas"][0]["answers"]
    (tmp_path / "asked.json").write_text(json.dumps(content))
    data = dataclasses.replace(config.data, train_file=None, predict_file=str(tmp_path / "asked.json"))
    result = runs.predict(dataclasses.replace(config, data=data, output_dir=str(tmp_path / "answers")))
    assert len(json.loads((tmp_path / "answers" / "predictions.json").read_text())) == 24
    assert result.scores == {}


def test_a_dry_run_writes_nothing(source, tmp_path, graph_mode):
    config = with_evaluation(config_for(source, tmp_path, accumulate=2))
    found = runs.dry_run(config)
    assert found.batch == (8, 192) and found.megabytes["total"] > 0 and np.isfinite(found.loss)
    assert found.evaluation_seconds is not None
    assert not Path(config.output_dir).exists()


def test_another_configuration_in_the_same_folder_names_what_differs(source, tmp_path, graph_mode):
    config = config_for(source, tmp_path, max_steps=1)
    runs.train(config)
    changed = dataclasses.replace(
        config, seed=7, threads=1, optimizer=dataclasses.replace(config.optimizer, weight_decay=0.5)
    )
    with pytest.raises(ConfigError, match="another configuration .*--fresh") as error:
        runs.train(changed)
    assert error.value.problems == ("seed is 7, in that run 42.", "optimizer.weight_decay is 0.5, in that run 0.01.")
    assert runs.train(changed, resume=False).status == "finished"


def test_two_processes_cannot_write_one_folder(source, tmp_path, graph_mode):
    config = config_for(source, tmp_path)
    with run_lock(Path(config.output_dir)):
        status, output = Command(config).wait()
    assert status == 1
    assert f"is in use by another run (process {os.getpid()} on " in output
    assert not (Path(config.output_dir) / "resolved_config.yaml").exists()


def test_a_missing_file_is_named_before_anything_is_loaded(source, tmp_path):
    config = config_for(source, tmp_path)
    missing = dataclasses.replace(config, data=dataclasses.replace(config.data, train_file="nowhere.json"))
    with pytest.raises(ConfigError, match=r"data.train_file is nowhere.json: there is no such file"):
        runs.train(missing)


def test_a_disk_that_fills_up_ends_the_run_and_it_goes_on_when_there_is_room(source, tmp_path, graph_mode, monkeypatch):
    from bert_ms.training import state

    config = config_for(source, tmp_path, save_every=2)
    write, written = state._write_arrays, []

    def failing(path: Path, *arguments: Any) -> None:
        written.append(path)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        write(path, *arguments)

    monkeypatch.setattr(state, "_write_arrays", failing)
    with pytest.raises(TrainingError, match=r"step-4: No space left on device.*Earlier checkpoints are untouched"):
        runs.train(config)
    assert newest(Path(config.output_dir)).name == "step-2"
    monkeypatch.undo()
    assert runs.train(config).status == "finished"
    whole = config_for(source, tmp_path, save_every=2, name="whole")
    runs.train(whole)
    assert_same_end(Path(config.output_dir), Path(whole.output_dir))


def test_sigterm_saves_and_leaves_and_the_same_command_goes_on(source, tmp_path):
    config = config_for(source, tmp_path, epochs=16.0)
    command = Command(config)
    command.wait_for_step(5)
    command.process.send_signal(signal.SIGTERM)
    status, output = command.wait()
    assert status == 128 + signal.SIGTERM, output
    assert "interrupted after step" in output and "the same command goes on" in output
    step = int(newest(command.folder).name[5:].split(".")[0])
    assert 5 <= step < 48
    status, output = Command(config).wait()
    assert status == 0 and "status: finished" in output and f"going on after step {step}" in output, output
    whole = Command(config_for(source, tmp_path, epochs=16.0, name="whole"))
    assert whole.wait()[0] == 0
    assert_same_end(command.folder, whole.folder)


@pytest.mark.slow
def test_killed_at_any_moment_a_run_ends_with_the_same_weights_bit_for_bit(source, tmp_path):
    """With dropout 0.1, accumulation, evaluations and checkpoints, killed again and again at random moments."""
    options = {"epochs": 6.0, "accumulate": 2, "save_every": 1, "eval_every": 4, "keep_last": 1}
    whole = with_evaluation(config_for(source, tmp_path, name="whole"), **options)
    assert Command(whole).wait()[0] == 0
    parts = with_evaluation(config_for(source, tmp_path, name="parts"), **options)
    moments = random.Random(11)
    for step in (1, 4, 7):
        command = Command(parts)
        command.wait_for_step(step)
        time.sleep(moments.random() * 0.1)
        command.process.kill()
        assert command.wait()[0] == -signal.SIGKILL
    status, output = Command(parts).wait()
    assert status == 0 and "status: finished" in output, output
    folders = [Path(config.output_dir) for config in (whole, parts)]
    assert_same_end(*folders)
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    for result in results:
        result.pop("seconds")
    assert results[0] == results[1]
    predictions = [(folder / "predictions.json").read_text() for folder in folders]
    assert predictions[0] == predictions[1]


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_float16_skips_overflowing_steps_and_finds_its_scale(source, tmp_path, graph_mode):
    config = config_for(source, tmp_path, epochs=6.0)
    config = dataclasses.replace(config, precision=PrecisionConfig(dtype="float16", init_scale=2.0**30))
    result = runs.train(config)
    lines = metrics_of(result.folder)
    scales = [line["loss_scale"] for line in lines]
    assert scales[0] == 2.0**30 and scales[-1] < 2.0**30
    assert [line["grad_norm"] for line in lines][-1] is not None
    assert all(np.isfinite(array).all() for array in final_arrays(result.folder).values())


def test_bfloat16_is_refused_on_a_cpu(source, tmp_path, graph_mode):
    config = dataclasses.replace(config_for(source, tmp_path), precision=PrecisionConfig(dtype="bfloat16"))
    with pytest.raises(DeviceError, match="no bfloat16 MatMul.*float32"):
        runs.train(config)
    assert not Path(config.output_dir).exists()


def test_a_shape_met_after_an_evaluation_is_trained_with_dropout(source, tmp_path, graph_mode):
    """Graphs are compiled when a shape is first met; the evaluation before must not leave its mode behind."""
    from bert_ms.model.losses import WithLoss
    from bert_ms.pipelines.loading import load_network, load_work, open_model
    from bert_ms.training.evaluation import evaluation_mode
    from bert_ms.training.updater import Updater

    def losses(*, is_evaluated_between: bool) -> list[float]:
        config = config_for(source, tmp_path)
        opened = open_model(config)
        network = load_network(config, opened, load_work(config, opened))
        updater = Updater(WithLoss(network), config, total_steps=10)
        found = []
        for step, length in enumerate((16, 24)):
            ids = np.full((2, length), 7, np.int32)
            batch = [ids, np.ones_like(ids), np.zeros_like(ids), np.array([1, 2], np.int32), np.array([3, 4], np.int32)]
            if is_evaluated_between:
                with evaluation_mode(network):
                    network(*(ms.Tensor(array) for array in batch[:3]))
            found.append(updater.update(step, [batch]).loss)
        return found

    ms.set_seed(1)
    first = losses(is_evaluated_between=False)
    ms.set_seed(1)
    assert losses(is_evaluated_between=True) == first
