"""The public functions that make networks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bert_ms
from bert_ms.errors import CheckpointError, ConfigError
from tests.checkpoint.builders import TINY, write_tiny
from tests.support import REPOSITORY, golden, minilm

pytest.importorskip("mindspore")


def test_minilm_answers_with_a_new_head(caplog: pytest.LogCaptureFixture) -> None:
    minilm()
    with caplog.at_level(logging.WARNING):
        cell = bert_ms.from_pretrained("minilm", "question-answering")
    assert cell.load_report.initialised == ("qa_outputs.weight", "qa_outputs.bias")
    assert cell.load_report.dropped["pooler, which this network has not"]
    assert (cell.config.num_attention_heads, cell.config.task) == (12, "question-answering")
    assert not cell.training
    assert len(caplog.records) == 1


def test_an_encoder_without_pooler_is_built_without_one() -> None:
    cell = bert_ms.from_pretrained(golden("hf_bert_qa"))
    assert not cell.config.add_pooler
    assert cell.load_report.notes == ("the file has no pooler: the encoder returns the hidden states only",)
    assert cell.load_report.dropped == {"head of another task": ("qa_outputs.bias", "qa_outputs.weight")}


def test_compute_types_are_passed_on() -> None:
    cell = bert_ms.from_pretrained(golden("hf_bert_model"), dtype="float16")
    assert cell.dtype_name == "float16"
    assert str(cell.embeddings.word_embeddings.weight.dtype) == "Float32"
    with pytest.raises(ConfigError, match="unknown dtype 'float61': did you mean 'float16'"):
        bert_ms.from_pretrained(golden("hf_bert_model"), dtype="float61")


def test_an_unknown_task_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="unknown task 'question-anwering': did you mean 'question-answering'"):
        bert_ms.from_pretrained(golden("hf_bert_model"), "question-anwering")


def test_a_config_makes_a_network_with_random_weights() -> None:
    first = bert_ms.from_config(TINY, "question-answering")
    assert first.config.task == "question-answering"
    assert not first.config.add_pooler
    second = bert_ms.from_config(golden("hf_bert_model") / "config.json")
    assert second.config.vocab_size == 120
    third = bert_ms.from_config({"vocab_size": 50, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1})
    weight = third.embeddings.word_embeddings.weight.asnumpy()
    assert weight.shape == (50, 8)
    assert 0.01 < np.abs(weight).mean() < 0.02


def test_convert_refuses_what_is_incomplete(tmp_path: Path) -> None:
    source = write_tiny(tmp_path / "m", drop=["encoder.layers.0.attention.key.bias"])
    with pytest.raises(CheckpointError, match=r"missing in the file: encoder\.layers\.0\.attention\.key\.bias"):
        bert_ms.convert(source, tmp_path / "out", format="mindspore")
    assert not (tmp_path / "out").exists()


def test_public_names_are_there_and_unknown_ones_are_not() -> None:
    for name in bert_ms.__all__:
        assert name in dir(bert_ms)
    with pytest.raises(AttributeError, match="module 'bert_ms' has no attribute 'from_pretraind'"):
        bert_ms.from_pretraind  # noqa: B018


def test_a_tokenizer_and_the_metrics_are_reached_from_the_package() -> None:
    minilm()
    assert bert_ms.Tokenizer.from_pretrained("minilm").vocab_size == 30522
    assert callable(bert_ms.metrics.squad.evaluate)


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, time; begun = time.process_time(); import bert_ms; took = time.process_time() - begun;"
        "from bert_ms import checkpoint; from bert_ms.hub import catalogue, convert, load, mindspore_hub, publish;"
        "print('mindspore' in sys.modules, took)"
    )
    begun = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    heavy, took = done.stdout.split()
    assert heavy == "False"
    assert float(took) < 0.2
    assert time.perf_counter() - begun < 30
