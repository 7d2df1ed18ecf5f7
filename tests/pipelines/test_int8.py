"""dtype int8 in pipelines, vectors and runs: answers near the exact ones, and refusals before anything long is done."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_ms
from bert_ms import checkpoint, compat
from bert_ms.cli import main
from bert_ms.config import DataConfig, EvaluationConfig, ModelConfig, PrecisionConfig, RunConfig
from bert_ms.errors import ConfigError, DeviceError
from bert_ms.hub.mindspore_hub import create_network
from bert_ms.kernels import build as kernels_build
from bert_ms.pipelines import runs
from bert_ms.pipelines.ranking import rank
from tests import tiny
from tests.support import PACKAGED_DATA

HERE = PACKAGED_DATA / "pipelines"
TEXTS = ["the film is good", "john smith works in paris and london", "unquestionably terrible"]
INT8 = PrecisionConfig(dtype="int8")


@pytest.fixture(autouse=True)
def _native(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graph_mode: None) -> None:
    if kernels_build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    monkeypatch.setenv("BERT_MS_KERNELS", "on")
    monkeypatch.setenv("BERT_MS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that nobody may read."""
    monkeypatch.setattr(checkpoint, "load_into", lambda *_, **__: pytest.fail("weights were read"))


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny network that answers questions."""
    from bert_ms.config import BertConfig
    from bert_ms.model import build
    from bert_ms.tokenization import Tokenizer

    compat.use_device("cpu", graph_mode=True)
    compat.mindspore().set_seed(11)
    words, folder = tiny.vocabulary(300), tmp_path_factory.mktemp("answerer") / "qa"
    config = BertConfig(
        vocab_size=len(words), hidden_size=36, num_hidden_layers=2, num_attention_heads=3, intermediate_size=50,
        max_position_embeddings=128, initializer_range=0.1,
    )  # fmt: skip
    checkpoint.save(build(config, "question-answering"), folder, tokenizer=Tokenizer.from_vocab(words))
    return folder


def test_questions_are_answered_nearly_as_in_float32(answerer: Path) -> None:
    item = {"question": "who had an army?", "context": "The king of France had a great army in 1805."}
    exact, rounded = (
        bert_ms.pipeline("question-answering", answerer, device="cpu", dtype=dtype)(item, top_k=3)
        for dtype in (None, "int8")
    )
    assert [one["score"] for one in rounded] == pytest.approx([one["score"] for one in exact], rel=0.1)
    assert [one["score"] for one in rounded] != [one["score"] for one in exact]


@pytest.mark.parametrize(
    ("task", "source"),
    [("text-classification", "labels"), ("ner", "tags"), ("fill-mask", "words"), ("feature-extraction", "encoder")],
)
def test_a_text_is_answered_alike_alone_and_among_others(task: str, source: str) -> None:
    texts = [f"{text} [MASK]" for text in TEXTS] if task == "fill-mask" else TEXTS
    nlp = bert_ms.pipeline(task, HERE / source, device="cpu", dtype="int8")
    for text, together in zip(texts, nlp(texts), strict=True):
        alone = nlp(text)
        if task == "feature-extraction":
            np.testing.assert_array_equal(alone, together)
        else:
            assert alone == together


def test_vectors_are_near_those_of_float32_and_of_words_too() -> None:
    exact, rounded = (bert_ms.SentenceEncoder(HERE / "encoder", device="cpu", dtype=dtype) for dtype in (None, "int8"))
    cosines = (exact.encode(TEXTS) * rounded.encode(TEXTS)).sum(1)
    assert cosines.min() > 0.99 and cosines.max() < 1 - 1e-7
    assert [one.words for one in rounded.encode_words(TEXTS)] == [one.words for one in exact.encode_words(TEXTS)]
    last = bert_ms.SentenceEncoder(HERE / "encoder", device="cpu", dtype="int8", layers=(2,))
    np.testing.assert_array_equal(last.encode(TEXTS), rounded.encode(TEXTS))


def test_other_layers_than_the_last_are_refused_before_weights_are_read(unread: None) -> None:
    with pytest.raises(ConfigError, match=r"dtype is int8, .*last layer alone, and layers is \[-1, -2\]: take -1"):
        bert_ms.SentenceEncoder(HERE / "encoder", device="cpu", dtype="int8", layers=(-1, -2))


def test_a_file_of_texts_becomes_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    arguments = ["encode", "-q", str(HERE / "encoder"), str(tmp_path / "texts.txt"), "--device", "cpu"]
    assert main([*arguments, "--dtype", "int8", "-o", str(tmp_path / "int8.npy")]) == 0
    encoder = bert_ms.SentenceEncoder(HERE / "encoder", device="cpu", dtype="int8")
    np.testing.assert_array_equal(np.load(tmp_path / "int8.npy"), encoder.encode(TEXTS))
    assert main([*arguments, "--dtype", "int8", "--layers=-1,-2", "-o", str(tmp_path / "no.npy")]) == 2
    assert "dtype is int8" in capsys.readouterr().err


def run_config(source: Path | str, folder: Path, **changes: Any) -> RunConfig:
    file = str(tiny.questions(folder / "questions.json", 6))
    config = RunConfig(
        output_dir=str(folder / "run"),
        device="cpu",
        model=ModelConfig(source=str(source)),
        data=DataConfig(eval_file=file, train_file=file, max_length=96, stride=24, buckets=(96,), workers=1),
        evaluation=EvaluationConfig(batch_size=4, n_best=3),
        precision=INT8,
    )
    return dataclasses.replace(config, **changes)


def test_an_evaluation_says_what_it_was_computed_in(answerer: Path, tmp_path: Path) -> None:
    config = run_config(answerer, tmp_path)
    rounded = runs.evaluate(config)
    said = json.loads((tmp_path / "run/eval.json").read_text())
    assert (said["backend"], said["precision"], said["total"]) == ("cell", "int8", 6)
    answers = json.loads((tmp_path / "run/nbest_predictions.json").read_text())
    exact = runs.evaluate(dataclasses.replace(config, precision=PrecisionConfig(), output_dir=str(tmp_path / "exact")))
    assert set(rounded.scores) == set(exact.scores)
    assert answers != json.loads((tmp_path / "exact/nbest_predictions.json").read_text())
    report = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    exact_report = (tmp_path / "exact/report.html").read_text(encoding="utf-8")
    numbers = f"{sum(entry.size for entry in _entries(answerer)):,}"
    assert "int8" in report and numbers in report and numbers in exact_report  # of the file, not of what was rounded


def _entries(folder: Path) -> list[np.ndarray]:
    opened = checkpoint.open_checkpoint(folder)
    return [entry.load() for entry in opened.entries.values()]


def test_a_dry_run_of_answers_runs_and_one_of_training_is_refused(answerer: Path, tmp_path: Path) -> None:
    config = run_config(answerer, tmp_path)
    found = runs.dry_run(config, purpose="evaluate")
    assert found.parameters == sum(entry.size for entry in _entries(answerer))
    with pytest.raises(ConfigError, match="precision.dtype is int8, .*train in float32"):
        runs.dry_run(config)


def test_training_is_refused_before_weights_are_read(answerer: Path, tmp_path: Path, unread: None) -> None:
    with pytest.raises(ConfigError, match=r"precision.dtype is int8, .*\(evaluate, predict\): train in float32"):
        runs.train(run_config(answerer, tmp_path))
    assert not (tmp_path / "run").exists()


def test_relative_positions_are_refused_before_mindspore_starts(tmp_path: Path, unread: None) -> None:
    source = tiny.model(tmp_path / "nezha", relative_position="sinusoid")
    with pytest.raises(ConfigError, match=r"precision.dtype is int8, .*nezha is none: .*relative_position 'sinusoid'"):
        runs.evaluate(run_config(source, tmp_path))
    with pytest.raises(ConfigError, match="dtype is int8, .*relative_position 'sinusoid'"):
        bert_ms.SentenceEncoder(source, device="cpu", dtype="int8")


def test_without_native_operators_a_run_says_why(
    answerer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unread: None
) -> None:
    monkeypatch.setenv("BERT_MS_KERNELS", "off")
    with pytest.raises(DeviceError, match=r"^precision.dtype is int8, .*\(BERT_MS_KERNELS=off\): use float32"):
        runs.evaluate(run_config(answerer, tmp_path))
    with pytest.raises(DeviceError, match=r"^dtype is int8, .*\(BERT_MS_KERNELS=off\)"):
        bert_ms.pipeline("question-answering", answerer, device="cpu", dtype="int8")


def test_text_is_not_generated_in_int8(unread: None) -> None:
    with pytest.raises(ConfigError, match="dtype is int8, .*causal-lm is for a decoder"):
        bert_ms.pipeline("text-generation", HERE / "words", device="cpu", dtype="int8", allow_new_head=True)


def test_checkpoints_are_not_ranked_in_int8(tmp_path: Path) -> None:
    config = RunConfig(task="sequence-classification", device="cpu", precision=INT8, data=DataConfig(train_file="x"))
    with pytest.raises(ConfigError, match="precision.dtype is int8, and checkpoints are ranked as training begins"):
        rank(config, ["minilm"])


def test_an_exported_network_has_its_own_numbers(answerer: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    bert_ms.export_model(answerer, tmp_path / "onnx")
    with pytest.raises(ConfigError, match=r"dtype is int8, and .*onnx was exported in float32: leave it out"):
        bert_ms.pipeline("question-answering", tmp_path / "onnx", dtype="int8")
    with pytest.raises(ConfigError, match="precision is int8: onnx is written in float32"):
        bert_ms.export_model(answerer, tmp_path / "other", precision="int8")


def test_the_hub_is_not_given_rounded_layers_to_fill() -> None:
    with pytest.raises(ConfigError, match=r"dtype is int8, .*from_pretrained\(directory of the card"):
        create_network("bert_base", dtype="int8")


def test_a_pipeline_warns_of_nothing_where_bytes_have_instructions(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bert_ms.model.rounding.has_int8_unit", lambda: True)
    with caplog.at_level(logging.WARNING):
        bert_ms.pipeline("feature-extraction", HERE / "encoder", device="cpu", dtype="int8")
    assert not caplog.records
