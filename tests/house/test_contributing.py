"""The worked example of CONTRIBUTING.md is a task: put into a copy of the package as it stands, it trains."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import bert_ms
from bert_ms.config.loading import named_configs
from tests import tiny
from tests.support import REPOSITORY

BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = ("bert_ms/data/sentence_order.py", "bert_ms/tasks/sentence_order.py", "configs/sentence_order.yaml")


def example() -> dict[str, str]:
    """The page's blocks of code by the file that they are for."""
    return dict(BLOCK.findall((REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")))


def test_the_example_is_three_files_and_a_row() -> None:
    assert tuple(example()) == (FILES[0], FILES[1], "row", FILES[2])


def test_a_task_that_is_added_as_the_page_says_trains_and_predicts(tmp_path: Path, graph_mode: None) -> None:
    home, blocks = tmp_path / "copy", example()
    shutil.copytree(Path(bert_ms.__file__).parent, home / "bert_ms", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(next(iter(named_configs().values())).parent, home / "configs")
    shutil.copy(REPOSITORY / "mindspore_hub_conf.py", home)
    for name in FILES:
        (home / name).write_text(blocks[name], encoding="utf-8")
    table = home / "bert_ms/tasks/__init__.py"
    text = table.read_text(encoding="utf-8")
    assert text.count("\n)\nTASKS") == 1
    table.write_text(text.replace("\n)\nTASKS", f"\n{blocks['row']})\nTASKS"), encoding="utf-8")

    source = tiny.model(tmp_path / "model")
    lines = ["The cat sat. The dog ran. It was late.", "She came home. He was there! Who was it?"] * 2
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")

    def run(*arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(home)}
        command = [sys.executable, "-m", "bert_ms.cli", *arguments, "-q"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run(
        "train", "-c", "sentence_order", f"source={source}", "train_file=text.txt", "eval_file=text.txt",
        "output_dir=run", "max_steps=2", "training.batch_size=8", "max_length=32", "device=cpu",
        "evaluate_before=false",
    )  # fmt: skip
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert "Confusion matrix" in (tmp_path / "run/report.html").read_text()
    assert result["metric"] == "accuracy" and 0 <= result["scores"]["accuracy"] <= 100
    run(
        "predict", "-c", "run/resolved_config.yaml", "source=run", "predict_file=text.txt", "output_dir=answers",
        "device=cpu",
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "answers/predictions.jsonl").read_text().splitlines()]
    assert len(rows) == 16 and {row["prediction"] for row in rows} <= {"in_order", "swapped"}
