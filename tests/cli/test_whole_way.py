"""The whole way by commands: train on a little of the packaged sample, evaluate what came of it, answer, go on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY, minilm

FOLDER = (
    "resolved_config.yaml",
    "metrics.jsonl",
    "train.log",
    "loss.png",
    "report.html",
    "checkpoints",
    "predictions.json",
    "nbest_predictions.json",
    "eval.json",
    "card.md",
    "vocab.txt",
    "config.json",
)
LITTLE = ("max_train_examples=16", "max_eval_examples=8", "epochs=1", "max_length=128", "stride=32")


def command(*arguments: str, cwd: Path) -> str:
    """Standard output of a command that has to succeed."""
    program = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); from bert_ms.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run folder `runs/squad_sample` is."""
    minilm()
    folder = tmp_path_factory.mktemp("whole_way")
    shown = command("train", "-c", "squad_sample", *LITTLE, cwd=folder)
    assert "finished: runs/squad_sample" in shown
    return folder


@pytest.mark.slow
def test_training_leaves_the_promised_folder(trained: Path) -> None:
    run = trained / "runs" / "squad_sample"
    assert [name for name in FOLDER if not (run / name).exists()] == []
    assert len(json.loads((run / "predictions.json").read_text())) == 8
    assert not list(trained.glob("rank_*"))


@pytest.mark.slow
def test_the_run_folder_is_a_source_that_scores_the_same(trained: Path) -> None:
    run = "runs/squad_sample"
    command("evaluate", "-c", f"{run}/resolved_config.yaml", f"source={run}", "output_dir=again", cwd=trained)
    assert (trained / "again" / "predictions.json").read_text() == (trained / run / "predictions.json").read_text()


@pytest.mark.slow
def test_the_same_command_again_has_nothing_left_to_do(trained: Path) -> None:
    before = (trained / "runs" / "squad_sample" / "metrics.jsonl").read_text()
    assert "finished before" in command("train", "-c", "squad_sample", *LITTLE, cwd=trained)
    assert (trained / "runs" / "squad_sample" / "metrics.jsonl").read_text() == before


@pytest.mark.slow
def test_a_trained_model_converts_for_hugging_face(trained: Path) -> None:
    assert command("convert", "runs/squad_sample", "hf", "--format", "safetensors", cwd=trained).strip()
    config = json.loads((trained / "hf" / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"]
