"""Each task from its files to predictions, with a network of one layer: trained, scored, asked, interrupted, shared."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bert_ms.config import LoraConfig, RegularizationConfig, RunConfig
from bert_ms.config.loading import dump
from bert_ms.pipelines import runs
from bert_ms.training.launch import launch
from bert_ms.training.report.scores import score_text
from tests import tiny
from tests.pipelines.task_cases import CASES, UNLABELLED, Case

# Trains by each of the configurations given, in turn.
WORKER = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from bert_ms.config.loading import resolve_config
from bert_ms.pipelines import runs

for path in sys.argv[1:]:
    result = runs.train(resolve_config(path))
    assert result.status == "finished", result
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    from bert_ms import compat

    compat.use_device("cpu")
    return tiny.model(
        tmp_path_factory.mktemp("model") / "tiny", num_hidden_layers=1, hidden_size=16, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=128,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], tuple[Path, runs.RunResult]]:
    """Trains a case to its end, once, in a folder that is given back with the result."""
    done: dict[str, tuple[Path, runs.RunResult]] = {}

    def once(case: Case) -> tuple[Path, runs.RunResult]:
        if case.name not in done:
            folder = tmp_path_factory.mktemp("case")
            done[case.name] = folder, runs.train(case.config(source, folder, max_steps=case.steps))
        return done[case.name]

    return once


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Of the newest checkpoint."""
    newest = max((folder / "checkpoints").glob("step-*"), key=lambda path: tuple(map(int, path.name[5:].split("."))))
    found = load_file(newest / "model.safetensors")
    assert found
    return found


def of_folder(config: RunConfig, **data: object) -> RunConfig:
    """The same run with the weights that it left; changes of its data."""
    model = dataclasses.replace(config.model, source=config.output_dir)
    return dataclasses.replace(config, model=model, data=dataclasses.replace(config.data, **data))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_trained_scores_the_same_again_and_predicts(case: Case, source, trained, graph_mode):
    folder, result = trained(case)
    config = case.config(source, folder, max_steps=case.steps)
    assert (result.status, result.steps, result.metric) == ("finished", case.steps, case.metric)
    assert np.isfinite(list(result.scores.values())).all() and case.metric in result.scores
    if case.learned is not None:
        assert result.scores[case.metric] >= case.learned
    scored = runs.evaluate(of_folder(config))
    assert scored.scores == result.scores
    check_reports(case, result, scored)
    asked = of_folder(config, train_file=None, eval_file=None, predict_file=str(case.files(folder).predict))
    answered = runs.predict(asked)
    assert {path.name for path in answered.folder.iterdir()} >= set(case.predictions)
    if "predictions.jsonl" in case.predictions:
        lines = (answered.folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == UNLABELLED and all("prediction" in json.loads(line) for line in lines)


def check_reports(case: Case, *results: runs.RunResult) -> None:
    """Both tell the score, and what the task has to show, which is the same."""
    found = []
    for result in results:
        assert score_text(case.metric, result.scores[case.metric]) in (result.folder / "report.html").read_text("utf-8")
        found.append((result.folder / "findings.json").read_text(encoding="utf-8"))
    assert found[0] == found[1]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_run_that_was_stopped_ends_with_the_same_weights(case: Case, source, trained, graph_mode):
    folder, whole = trained(case)
    parts = case.config(source, folder, name="parts", max_steps=case.steps)
    stopping = runs.Hook(lambda report: os.kill(os.getpid(), signal.SIGTERM), every=2)
    stopped = runs.train(parts, hooks=[stopping])
    assert (stopped.status, stopped.steps) == ("interrupted", 2)
    assert runs.train(parts).status == "finished"
    first, second = weights(whole.folder), weights(Path(parts.output_dir))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def pairs_of_runs(source: Path, folder: Path) -> Iterator[tuple[str, RunConfig, RunConfig]]:
    """For one worker alone and for two together: runs that must end with the same weights, each with a name."""

    def pair(case: Case, name: str = "", *, by_parts: bool = False, **sections: object) -> list[RunConfig]:
        """With the double batch; or `by_parts` with two micro-batches, of four rows in all: they are the workers'."""
        training = {"alone": {"batch_size": 2, "accumulate": 2} if by_parts else {"batch_size": 4},
                    "together": {"batch_size": 2}}  # fmt: skip
        found = [
            case.config(source, folder / case.name, name=f"{kind} {name}".strip(), **changes)
            for kind, changes in training.items()
        ]
        if by_parts:
            sections["data"] = dataclasses.replace(found[0].data, max_train_examples=4)
        return [dataclasses.replace(config, **sections) for config in found]

    for case in CASES:
        yield case.name, *pair(case, by_parts=case.mean_over_words)
    yield "adapters", *pair(CASES[0], "adapters", lora=LoraConfig(rank=2))
    # an adversarial step is one of a worker's own rows
    twice = RegularizationConfig(fgm_epsilon=0.5, r_drop_alpha=1.0)
    yield "adversarial steps and R-Drop", *pair(CASES[0], "twice", by_parts=True, regularization=twice)


@pytest.mark.workers
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_train_as_one_alone(source, tmp_path, graph_mode):
    pairs = [(name, *map(without_dropout, both)) for name, *both in pairs_of_runs(source, tmp_path)]
    files = []
    for number, (_, _, together) in enumerate(pairs):
        files.append(tmp_path / f"{number}.yaml")
        dump(together, files[-1])
    (tmp_path / "work.py").write_text(WORKER, encoding="utf-8")
    terminal = io.StringIO()
    command = [sys.executable, str(tmp_path / "work.py"), *map(str, files)]
    code = launch(command, workers=2, device="cpu", log_dir=tmp_path / "logs", terminal=terminal)
    assert code == 0, terminal.getvalue()
    for name, alone, together in pairs:
        runs.train(alone)
        first, second = (weights(Path(config.output_dir)) for config in (alone, together))
        assert first.keys() == second.keys()
        for key in first:
            np.testing.assert_allclose(second[key], first[key], atol=2e-5, err_msg=f"{name}: {key}")
        left = [json.loads((Path(c.output_dir) / "result.json").read_text())["scores"] for c in (alone, together)]
        assert left[0].keys() == left[1].keys()


def without_dropout(config: RunConfig) -> RunConfig:
    """Whose masks differ from worker to worker."""
    model = dataclasses.replace(config.model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return dataclasses.replace(config, model=model)
