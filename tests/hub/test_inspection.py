"""An inspection says what is in a checkpoint, and what each task would lack."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bert_ms import tasks
from bert_ms.cli import main
from bert_ms.errors import CheckpointError
from bert_ms.hub import inspection
from tests.support import PACKAGED_DATA, golden

TAGS = PACKAGED_DATA / "pipelines" / "tags"


def test_every_task_is_judged() -> None:
    assert set(inspection.inspect(TAGS).lacks) == set(tasks.names())


@pytest.mark.parametrize(
    ("fixture", "origin", "task", "complete"),
    [
        ("hf_bert_pretraining", "Hugging Face", "pretraining", {"encoder", "pretraining", "masked-lm", "causal-lm",
                                                               "next-sentence"}),
        ("hf_bert_tokencls", "Hugging Face", "token-classification", {"encoder", "token-classification"}),
        ("modelzoo_squad", "MindSpore model zoo", "question-answering", {"encoder", "question-answering"}),
        ("tf1_bert_squad", "google-research (TensorFlow 1)", "question-answering", {"encoder", "question-answering"}),
        ("gluonnlp_classifier", "GluonNLP", "sequence-classification", {"encoder", "sequence-classification"}),
    ],
)  # fmt: skip
def test_origin_task_and_what_is_complete_are_told(fixture: str, origin: str, task: str, complete: set[str]) -> None:
    found = inspection.inspect(golden(fixture))
    assert (found.origin, found.task, found.unknown, found.missing) == (origin, task, (), ())
    assert {name for name, parts in found.lacks.items() if not parts} == complete
    assert found.parameters > 10_000 and found.config.num_hidden_layers == 3


def test_the_commands_words_and_its_json_agree_and_need_no_mindspore() -> None:
    code = (
        "import sys; from bert_ms.cli import main; status = main(sys.argv[1:]);"
        "sys.exit(status or 'mindspore' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "inspect", str(TAGS)]
    words = subprocess.run(command, capture_output=True, text=True)
    assert words.returncode == 0, words.stderr
    assert "trained for  token-classification" in words.stdout
    assert "labels       O, B-PER, I-PER, B-LOC, I-LOC" in words.stdout
    assert "masked-lm                new, to be trained: predictions" in words.stdout
    values = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True).stdout)
    assert values["task"] == "token-classification" and values["lacks"]["token-classification"] == []


@pytest.mark.parametrize(
    ("fixture", "said"),
    [
        ("hf_bert_relative_key", "layer_norm_eps 1e-12, position_embedding_type relative_key\n"),
        ("hf_nezha_model", "layer_norm_eps 1e-12, relative_position sinusoid, max_relative_position 64\n"),
    ],
)
def test_positions_are_told_where_they_are_not_absolute(
    fixture: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(golden(fixture))]) == 0
    assert said in capsys.readouterr().out


def test_a_file_that_is_none_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"does not exist"):
        inspection.inspect("nowhere/model.safetensors")
