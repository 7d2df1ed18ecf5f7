"""An exported network answers as its checkpoint does: the same files from evaluate and predict, the same pipelines."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bert_ms
from bert_ms import compat
from bert_ms.cli import main
from bert_ms.config import DataConfig, EvaluationConfig, ModelConfig, RunConfig
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.export.folder import read_record
from bert_ms.pipelines import runs
from tests import tiny
from tests.support import PACKAGED_DATA

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LENGTH = 96
FORMATS = ("onnx", "mindir")
# Questions on short passages of the packaged sample.
QUESTIONS = 6


def network(folder: Path, task: str, **config: Any) -> Path:
    """A folder with a tiny network whose random weights are large enough to be sure of what they say."""
    from bert_ms import checkpoint
    from bert_ms.config import BertConfig
    from bert_ms.model import build
    from bert_ms.tokenization import Tokenizer

    compat.mindspore().set_seed(11)
    words = tiny.vocabulary(300)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    own = {"vocab_size": len(words), "max_position_embeddings": 128, "initializer_range": 0.4}
    cell = build(BertConfig(**{**sizes, **own, **config}), task)
    checkpoint.save(cell, folder, tokenizer=Tokenizer.from_vocab(words))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared features stay among the tests' own files."""
    monkeypatch.setenv("BERT_MS_CACHE", str(place / "cache"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compat.use_device("cpu", graph_mode=True)
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def answers(place: Path) -> dict[str, Path]:
    """A question-answering network as a checkpoint, as ONNX and as MINDIR."""
    found = {"cell": network(place / "cell", "question-answering")}
    for name, options in (("onnx", {}), ("mindir", {"buckets": [(4, LENGTH)]})):
        bert_ms.export_model(found["cell"], place / name, format=name, **options)
        found[name] = place / name
    return found


def run_config(source: Path, folder: Path, **data: Any) -> RunConfig:
    return RunConfig(
        output_dir=str(folder),
        model=ModelConfig(source=str(source)),
        data=DataConfig(max_length=LENGTH, stride=24, buckets=(LENGTH,), workers=1, **data),
        evaluation=EvaluationConfig(batch_size=4, n_best=3),
    )


def test_evaluation_writes_the_same_answers_whatever_runs_the_network(answers: dict[str, Path], tmp_path: Path) -> None:
    file = str(tiny.questions(tmp_path / "dev.json", QUESTIONS))
    found = {
        name: runs.evaluate(run_config(source, tmp_path / name, eval_file=file), backend=name)
        for name, source in answers.items()
    }
    cell = tmp_path / "cell"
    texts = json.loads((cell / "predictions.json").read_text())
    assert len(texts) == QUESTIONS
    assert len(set(texts.values())) > 1
    for name in FORMATS:
        assert (tmp_path / name / "predictions.json").read_bytes() == (cell / "predictions.json").read_bytes()
        assert found[name].scores == found["cell"].scores
        best, expected = (json.loads((tmp_path / of / "nbest_predictions.json").read_text()) for of in (name, "cell"))
        for question, candidates in expected.items():
            assert [one["text"] for one in best[question]] == [one["text"] for one in candidates]
            for ours, theirs in zip(best[question], candidates, strict=True):
                assert ours["probability"] == pytest.approx(theirs["probability"], abs=1e-4)
        written = json.loads((tmp_path / name / "eval.json").read_text())
        assert (written["backend"], written["precision"]) == (name, "float32")
        report = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert f"exported as {name.upper()}" in report
    assert json.loads((cell / "eval.json").read_text())["backend"] == "cell"


def test_prediction_needs_no_answers_and_finds_the_format_itself(
    answers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tiny.questions(tmp_path / "questions.json", 2)
    arguments = ["predict", "-q", "-c", "squad_sample", f"source={answers['onnx']}", f"predict_file={file}",
                 f"max_length={LENGTH}", "stride=24", f"output_dir={tmp_path / 'out'}"]  # fmt: skip
    assert main([*arguments, "--dry-run"]) == 0
    assert "exported as onnx" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2


def test_a_backend_that_contradicts_the_source_is_an_error(answers: dict[str, Path], tmp_path: Path) -> None:
    file = str(tiny.questions(tmp_path / "dev.json", 2))

    def evaluate(source: str, backend: str, **changes: Any) -> None:
        config = run_config(answers[source], tmp_path / "out", eval_file=file)
        runs.evaluate(dataclasses.replace(config, **changes), backend=backend)

    with pytest.raises(ConfigError, match=r"backend is mindir, and .* is exported as onnx"):
        evaluate("onnx", "mindir")
    with pytest.raises(ConfigError, match=r"backend is cell, and .* is exported as mindir.*or name a checkpoint"):
        evaluate("mindir", "cell")
    with pytest.raises(
        ConfigError, match=r"backend is onnx, and .* is no exported folder: make one by `bert-ms export"
    ):
        evaluate("cell", "onnx")
    with pytest.raises(
        CheckpointError, match=r"was exported for 'question-answering', and the run's task is 'encoder'"
    ):
        evaluate("onnx", "auto", task="encoder")
    with pytest.raises(ConfigError, match="leave --devices out"):
        runs.check(run_config(answers["onnx"], tmp_path / "out", eval_file=file), "evaluate")
    assert not (tmp_path / "out").exists()


def test_an_exported_network_is_not_trained(answers: dict[str, Path], tmp_path: Path) -> None:
    file = str(tiny.questions(tmp_path / "train.json", 2))
    for source in (answers["onnx"], answers["mindir"], answers["onnx"] / "model.onnx"):
        with pytest.raises(
            CheckpointError, match=r"is an exported network: it answers .* but holds no weights to train"
        ):
            bert_ms.from_pretrained(source)
    with pytest.raises(CheckpointError, match="holds no weights to train"):
        runs.train(run_config(answers["onnx"], tmp_path / "out", train_file=file))


def test_onnx_answers_without_mindspore(answers: dict[str, Path]) -> None:
    program = (
        "import sys, bert_ms\n"
        f"nlp = bert_ms.pipeline('question-answering', {str(answers['onnx'])!r}, threads=1, max_length={LENGTH})\n"
        "print(nlp({'question': 'where is it ?', 'context': 'it is in the north of the city .'})['answer'])\n"
        "assert 'mindspore' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    item = {"question": "where is it ?", "context": "it is in the north of the city ."}
    mindir = bert_ms.pipeline("question-answering", answers["mindir"])
    assert mindir.max_length == LENGTH, "rows that are longer than every bucket are not made"
    assert mindir(item)["answer"] == done.stdout.strip()


def test_a_crf_takes_its_transitions_along(place: Path) -> None:
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    source = network(place / "tagger", "token-classification", has_crf=True, labels=labels, num_labels=len(labels))
    record = bert_ms.export_model(source, place / "tagger_onnx")
    assert "transitions.safetensors" in record.files
    text = "john smith works in the north of london and in paris"
    options: dict[str, Any] = {"max_length": 32}
    ours, theirs = (bert_ms.pipeline("ner", folder, **options) for folder in (place / "tagger_onnx", source))
    np.testing.assert_array_equal(ours.transitions, theirs.transitions)
    found, expected = ours(text), theirs(text)
    assert [one["entity_group"] for one in found] == [one["entity_group"] for one in expected] != []
    (place / "tagger_onnx" / "transitions.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names transitions.safetensors, which is not there"):
        bert_ms.pipeline("ner", place / "tagger_onnx")


def test_gaps_are_filled_and_sentences_encoded_as_by_the_cell(place: Path) -> None:
    words, vectors = PACKAGED_DATA / "pipelines" / "words", PACKAGED_DATA / "pipelines" / "encoder"
    bert_ms.export_model(words, place / "words")
    bert_ms.export_model(vectors, place / "vectors")
    text = "the [MASK] is good and the [MASK] is terrible"
    ours, theirs = (bert_ms.pipeline("fill-mask", source)(text, top_k=2) for source in (place / "words", words))
    for found, expected in zip(ours, theirs, strict=True):
        assert [one["token"] for one in found] == [one["token"] for one in expected]
        assert [one["score"] for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-5)
    texts = ["the film is good", "", "unquestionably terrible"]
    for pooling in ("mean", "max", "cls", "pooled"):
        exported = bert_ms.SentenceEncoder(place / "vectors", pooling=pooling).encode(texts)
        if pooling in ("mean", "pooled"):
            cell = bert_ms.SentenceEncoder(vectors, pooling=pooling).encode(texts)
            np.testing.assert_allclose(exported, cell, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(exported, axis=1), 1, atol=1e-5)
    with pytest.raises(ConfigError, match=r"was exported with its last layer alone"):
        bert_ms.SentenceEncoder(place / "vectors", layers=(-1, -2))
    with pytest.raises(
        ConfigError, match=r"was exported for 'encoder', and 'fill-mask' needs a network of 'masked-lm'"
    ):
        bert_ms.pipeline("fill-mask", place / "vectors")
    with pytest.raises(ConfigError, match=r"text-generation\s+runs on the checkpoint itself"):
        bert_ms.pipeline("text-generation", place / "words")


def test_the_command_says_what_it_would_do_and_what_it_did(
    answers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "-q", str(answers["cell"]), str(tmp_path / "out"), "--format", "mindir", "--buckets", "1x16"]
    assert main([*arguments, "--dry-run"]) == 0
    assert not (tmp_path / "out").exists()
    assert "model_1x16.mindir, about" in capsys.readouterr().out
    assert main(["export", "-q", str(answers["cell"]), str(answers["onnx"])]) == 1
    assert "holds an exported network: name another folder, or overwrite it" in capsys.readouterr().err
    assert main(["inspect", str(answers["onnx"])]) == 0
    shown = capsys.readouterr().out
    record = read_record(answers["onnx"])
    assert record.verification is not None
    assert f"at most {record.verification.max_abs_difference:.2g} from the Cell" in shown
    assert "question-answering: input_ids, attention_mask, token_type_ids -> start_logits, end_logits" in shown
    assert record.source["name"] == "cell"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onxx"}, "unknown format 'onxx': did you mean 'onnx'"),
        ({"task": "chess"}, "unknown task 'chess'"),
        ({"buckets": [(1, 8)]}, "an ONNX file takes any batch and length"),
        ({"format": "mindir", "buckets": [(1, 999)]}, "the network takes at most 128 tokens"),
        ({"precision": "int3"}, "precision is int3: onnx is written in float32"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_written(
    answers: dict[str, Path], tmp_path: Path, options: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bert_ms.export_model(answers["cell"], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_network_without_the_head_is_not_exported(tmp_path: Path, place: Path) -> None:
    with pytest.raises(CheckpointError, match="has no head for 'question-answering'"):
        bert_ms.export_model(PACKAGED_DATA / "pipelines" / "encoder", tmp_path / "out", task="question-answering")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_knows_that_the_head_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = str(PACKAGED_DATA / "pipelines" / "encoder")
    command = ["export", encoder, str(tmp_path / "out"), "--task", "question-answering", "--dry-run"]
    assert main(command) == 1
    assert "'encoder' and has no head for 'question-answering' (qa_outputs would be" in capsys.readouterr().err


def test_rounding_to_int8_is_reported_on_the_users_own_data(
    answers: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tiny.questions(tmp_path / "dev.json", 3))
    run = run_config(answers["cell"], tmp_path / "unused")
    with pytest.raises(ConfigError, match="quantize is static, which measures ranges on rows of your own data"):
        bert_ms.export_model(answers["cell"], tmp_path / "int8", quantize="static")
    record = bert_ms.export_model(
        answers["cell"], tmp_path / "int8", quantize="static", calibration=file, evaluation=file, run=run
    )
    report = json.loads((tmp_path / "int8" / "quantization.json").read_text())
    assert record.precision == "int8-static"
    assert report["calibration_rows"] >= 3  # windows on them
    assert report["scores"]["float32"]["total"] == report["scores"]["int8"]["total"] == 3
    for found in report["differences"].values():
        assert found["cosine"] > 0.9
        assert found["max_abs"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.json", "int8"]
    assert main(["inspect", str(tmp_path / "int8")]) == 0
    shown = capsys.readouterr().out
    assert "onnx, int8-static" in shown
    assert "score        f1:" in shown
    assert f"rounding     start_logits: cosine {report['differences']['start_logits']['cosine']:.4f}" in shown
    answer = bert_ms.pipeline("question-answering", tmp_path / "int8", max_length=LENGTH)(
        {"question": "where is it ?", "context": "it is in the north ."}
    )
    assert set(answer) == {"answer", "score", "start", "end"}
