"""Bad input through the commands: one screen that says what is wrong, a code, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bert_ms.cli import main
from tests import tiny
from tests.support import shared_data

Question = dict[str, Any]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model's folder."""
    from bert_ms import compat

    compat.use_device("cpu")
    return tiny.model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def here(tmp_path: Path, model: Path) -> Path:
    """A directory with a configuration that works, and its data."""
    tiny.questions(tmp_path / "train.json", 4)
    tiny.questions(tmp_path / "dev.json", 4, file="squad_dev.json")
    (tmp_path / "run.yaml").write_text(
        f"output_dir: run\ndevice: cpu\nmodel: {{source: {model}}}\n"
        "data: {train_file: train.json, eval_file: dev.json, max_length: 128, stride: 32, buckets: [128]}\n"
        "training: {epochs: 1, batch_size: 4, tensorboard: false, evaluate_before: false}\n"
        "evaluation: {batch_size: 4}\n"
    )
    return tmp_path


@pytest.fixture
def refused(here: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that has to fail; gives what it said, once it is known to have left no run folder."""

    def run(*arguments: str, code: int = 1) -> str:
        before = sorted(here.rglob("*"))
        assert main([*arguments]) == code
        shown = capfd.readouterr().err
        assert "Traceback" not in shown and "bert-ms: error: " in shown
        error = shown[shown.index("bert-ms: error: ") :]
        assert len(error.splitlines()) <= 24
        assert sorted(here.rglob("*")) == before
        return error

    return run


def change(here: Path, edit: Callable[[Question, dict[str, Any]], None], name: str = "bad.json") -> str:
    """Write train.json with its first question changed by `edit(question, content)`."""
    content = json.loads((here / "train.json").read_text())
    edit(content["data"][0]["paragraphs"][0]["qas"][0], content)
    (here / name).write_text(json.dumps(content))
    return name


def long_passage(here: Path) -> str:
    """A question on a passage of 100,000 characters whose answer is near its end."""
    context = "".join(f"The brown fox number {i} jumps over the dog. " for i in range(2400))[:100_000]
    answer = {"text": "number 2100", "answer_start": context.index("number 2100")}

    def edit(question: Question, content: dict[str, Any]) -> None:
        question.update(question="Which fox?", answers=[answer])
        content["data"][0]["paragraphs"] = [{"context": context, "qas": [question]}]

    return change(here, edit, "long.json")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda q, _: q["answers"][0].update(text="zzzz"), "answer 'zzzz' does not occur in the context at all"),
        (lambda q, _: q["answers"][0].update(answer_start=0), "is not at answer_start 0, where"),
        (lambda q, _: q["answers"][0].update(text=""), "qas[0].answers[0].text is empty, expected text"),
        (lambda q, _: q.update(question=" "), "the question is empty"),
        (lambda q, _: q.update(id=7), "data[0].paragraphs[0].qas[0].id is 7 (a number), expected text"),
        (lambda q, c: q.update(id=c["data"][0]["paragraphs"][1]["qas"][0]["id"]), "ids must be unique"),
        (lambda q, _: q.pop("answers"), "has no answer to learn, and is_impossible is not set"),
        (lambda q, _: q.update(is_impossible="no"), "is_impossible is 'no', expected true or false"),
        (lambda q, _: q.update(is_impossible=True), "has answers and is_impossible true: one of them is wrong"),
        (lambda _, c: c.update(data=[]), "bad.json holds no questions"),
        (lambda _, c: c.update(data={}), "bad.json: data is an object, expected a list"),
    ],
)
def test_data_that_cannot_be_learned_from(
    here: Path, refused: Callable[..., str], edit: Callable[[Question, dict[str, Any]], None], message: str
) -> None:
    assert message in refused("train", "-c", "run.yaml", f"train_file={change(here, edit)}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "bad.json is empty, expected JSON"),
        (b'{"data": [', "bad.json is not valid JSON: Expecting value in line 1, column 11"),
        ('{"data": []}'.encode("utf-16"), "bad.json is not UTF-8 (it looks like UTF-16)"),
        (b"[" * 100_000, "its JSON is nested too deeply"),
        (b'{"data": ' + b"9" * 9000 + b"}", "it holds a number of thousands of digits"),
    ],
)
@pytest.mark.parametrize("key", ["train_file", "eval_file"])
def test_files_that_are_no_json(
    here: Path, refused: Callable[..., str], key: str, content: bytes, message: str
) -> None:
    (here / "bad.json").write_bytes(content)
    assert message in refused("train", "-c", "run.yaml", f"{key}=bad.json")


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "prepare"])
def test_paths_that_are_no_files(here: Path, refused: Callable[..., str], command: str) -> None:
    os.mkfifo(here / "pipe.json")
    os.symlink("loop.json", here / "loop.json")
    key = {"train": "train_file", "evaluate": "eval_file"}.get(command, "predict_file")
    for given, message in {
        "nowhere.json": "nowhere.json: there is no such file. `sample` is the packaged sample",
        "loop.json": "there is no such file (it is a link that leads nowhere)",
        ".": f"data.{key} is ., a directory",
        "pipe.json": "which is no regular file",
        "/dev/zero": "which is no regular file",
    }.items():
        assert message in refused(command, "-c", "run.yaml", f"{key}={given}", code=2)


def test_a_mistake_does_not_stand_in_the_way_of_its_correction(here: Path, refused: Callable[..., str]) -> None:
    (here / "bad.json").write_text("{")
    refused("train", "-c", "run.yaml", "train_file=bad.json")
    refused("train", "-c", "run.yaml", "accumulate=1000", code=2)
    refused("train", "-c", "run.yaml", "optimizer.freeze=['*']", code=2)
    assert main(["train", "-c", "run.yaml"]) == 0
    assert (here / "run" / "result.json").is_file()
    assert "4 questions, 4 windows" in (here / "run" / "train.log").read_text()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_length=300", r"data.max_length is 300, but .* takes at most 256 tokens .max_position_embeddings.: set"),
        ("training.metric=f2", r"unknown training.metric 'f2': .*Known: HasAns_exact, .*exact_match, f1"),
        ("epochs=1e300", r"epochs is 1e\+300: expected more than 0 and at most a million"),
        ("learning_rate=.nan", r"learning_rate is nan: expected a number"),
        ("threads=100000", r"threads is 100000: expected 1 to 1024"),
        ("output_dir=run.yaml", r"output_dir is run.yaml, but .*run.yaml is no directory: name another directory"),
        ("output_dir=run.yaml/x", r"output_dir is run.yaml/x, but .*run.yaml is no directory"),
        (f"output_dir={'x' * 5000}", r"output_dir is x{40}\.\.\., 5,000 characters: expected a path"),
        ("optimizer.freeze=[*]", r"this is not YAML: .* A text that begins with \* stands in quotes"),
        ("on_bad_answer=keep", r"data.on_bad_answer is 'keep': expected one of error, fix, drop"),
    ],
)
def test_values_that_cannot_be_used(refused: Callable[..., str], override: str, message: str) -> None:
    assert re.search(message, refused("train", "-c", "run.yaml", override, code=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: 1".encode("utf-16"), "bad.yaml: is not UTF-8 at byte 0: save it as UTF-8"),
        (b"a: &a [x, x]\nb: [*a, *a]\n", "line 2: '*a' is an alias, which is not read: write the value out"),
        (b'{"model_type": "bert"}', "line 1: unknown key 'model_type': did you mean model?"),
        (b"trainig: {epochs: 1}\nseed: x\n", "2 problems:\n  - line 1: unknown key 'trainig': did you mean training?"),
    ],
)
def test_configurations_that_cannot_be_read(
    here: Path, refused: Callable[..., str], content: bytes, message: str
) -> None:
    (here / "bad.yaml").write_bytes(content)
    assert message in refused("train", "-c", "bad.yaml", code=2)


@pytest.mark.parametrize("given", ["nowhere.json", "configs/nowhere", "loop"])
def test_a_missing_configuration_is_called_a_missing_file(here: Path, refused: Callable[..., str], given: str) -> None:
    os.symlink("loop.yaml", here / "loop.yaml")
    assert "there is no file" in refused("train", "-c", f"{given}.yaml" if given == "loop" else given, code=2)


def test_a_device_is_no_configuration(refused: Callable[..., str]) -> None:
    assert "is no regular file but a device or a pipe" in refused("train", "-c", "/dev/null", code=2)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "model.ckpt").write_bytes((d / "model.ckpt").read_bytes()[:5000]), "model.ckpt is"),
        (lambda d: (d / "model.ckpt").write_bytes(b""), "model.ckpt is"),
        (lambda d: (d / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nother"), "other"),
        (lambda d: [(d / name).unlink() for name in ("vocab.txt", "tokenizer.json")], "neither vocab.txt nor"),
    ],
)
def test_models_that_cannot_be_used(
    here: Path, model: Path, refused: Callable[..., str], damage: Callable[[Path], object], message: str
) -> None:
    shutil.copytree(model, here / "model")
    damage(here / "model")
    for command in ("train", "evaluate"):
        assert message in refused(command, "-c", "run.yaml", "model.source=model")


def test_a_vocabulary_of_another_model(here: Path, refused: Callable[..., str]) -> None:
    words = [*tiny.vocabulary(), *(f"word{i}" for i in range(1000))]
    (here / "vocab.txt").write_text("\n".join(words))
    shown = refused("train", "-c", "run.yaml", "model.vocab=vocab.txt")
    assert f"the vocabulary has {len(words):,} word pieces but the embedding table" in shown


def test_real_weights_that_are_cut(refused: Callable[..., str]) -> None:
    source = shared_data("weights/all-MiniLM-L6-v2_TRUNCATED")
    shown = refused("evaluate", "-c", "run.yaml", f"model.source={source}")
    assert (
        "model.safetensors is cut: its header describes 90856960 bytes of tensors, but only 840552 are there" in shown
    )


def test_a_directory_without_weights_is_not_blamed_on_its_links(here: Path, refused: Callable[..., str]) -> None:
    (here / "empty").mkdir()
    os.symlink("/etc/passwd", here / "empty" / "users")
    assert "holds no weights (users)" in refused("evaluate", "-c", "run.yaml", "model.source=empty")


def test_a_passage_of_100k_characters_is_learned_scored_and_answered(here: Path) -> None:
    file, wide = long_passage(here), ["evaluation.batch_size=64", "max_length=256", "buckets=[256]"]
    assert main(["train", "-c", "run.yaml", f"train_file={file}", f"eval_file={file}", "max_steps=1", *wide]) == 0
    assert main(["predict", "-c", "run.yaml", f"predict_file={file}", "output_dir=answers", *wide]) == 0
    assert len(json.loads((here / "answers" / "predictions.json").read_text())) == 1


def test_answers_longer_than_every_window(here: Path, refused: Callable[..., str]) -> None:
    def edit(question: Question, content: dict[str, Any]) -> None:
        context = "the quick brown fox " * 200
        question["answers"] = [{"text": context[:3000], "answer_start": 0}]
        content["data"][0]["paragraphs"] = [{"context": context, "qas": [question]}]

    shown = refused("train", "-c", "run.yaml", f"train_file={change(here, edit)}")
    assert "none of the 1 answers lies whole in a window of max_length 128 tokens" in shown


def test_misplaced_answers_are_mended_or_left_out_on_request(here: Path) -> None:
    file = change(here, lambda question, _: question["answers"][0].update(answer_start=0))
    for choice, windows in (("fix", 4), ("drop", 3)):
        options = [f"train_file={file}", f"on_bad_answer={choice}", f"output_dir={choice}"]
        assert main(["train", "-c", "run.yaml", *options]) == 0
        assert f"{windows} questions, {windows} windows" in (here / choice / "train.log").read_text()


def test_data_without_answers_is_not_scored(here: Path, refused: Callable[..., str]) -> None:
    def edit(question: Question, content: dict[str, Any]) -> None:
        for paragraph in content["data"][0]["paragraphs"]:
            paragraph["qas"][0].pop("answers")

    file = change(here, edit)
    shown = refused("evaluate", "-c", "run.yaml", f"eval_file={file}")
    assert "none of its 4 questions has an answer to score by. `bert-ms predict` answers" in shown
    assert main(["predict", "-c", "run.yaml", f"predict_file={file}", "output_dir=answers"]) == 0


def test_answers_to_another_data_set(here: Path, refused: Callable[..., str]) -> None:
    (here / "answers.json").write_text('{"another": "answer"}')
    shown = refused("evaluate", "--predictions", "answers.json", "eval_file=dev.json")
    assert "none of the 1 predictions belongs to a question of this data set" in shown
    assert "is a directory: expected JSON" in refused("evaluate", "--predictions", ".", "eval_file=dev.json")


def test_a_run_folder_whose_configuration_is_broken(here: Path, refused: Callable[..., str]) -> None:
    (here / "run" / "checkpoints" / "step-1").mkdir(parents=True)
    (here / "run" / "resolved_config.yaml").write_bytes(b"\xff\xfe")
    shown = refused("train", "-c", "run.yaml", code=2)
    assert "an earlier run left it: mend it, set another output_dir, or start over with --fresh" in shown


def test_workers_are_not_launched_for_a_mistake(here: Path, refused: Callable[..., str]) -> None:
    shown = refused("train", "-c", "run.yaml", "--devices", "2", "max_length=300", code=2)
    assert "takes at most 256 tokens" in shown


def test_a_folder_without_latin_letters_gets_its_card(here: Path) -> None:
    assert main(["train", "-c", "run.yaml", "output_dir=運行"]) == 0
    assert (here / "運行" / "question-answering.ckpt").is_file()


@pytest.mark.parametrize(("command", "key"), [("evaluate", "eval_file"), ("predict", "predict_file")])
def test_a_dry_run_needs_no_file_but_its_own(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, key: str
) -> None:
    files = [f"{name}={'dev.json' if name == key else 'null'}" for name in ("train_file", "eval_file", "predict_file")]
    assert main([command, "-c", "run.yaml", "--dry-run", *files]) == 0
    shown = capsys.readouterr().out
    assert "4 x 128 tokens\n  evaluation step" in shown and shown.endswith("nothing was written\n")
    assert not (here / "run").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here, which takes root on Linux: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_said_and_the_same_command_goes_on_when_there_is_room(
    here: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "-c", "run.yaml", f"output_dir={small_disk / 'run'}"]
    assert main(command) == 1
    shown = capfd.readouterr().err
    assert "Traceback" not in shown
    assert re.search(r"cannot write checkpoint .*step-1: No space left on device. It needs 1 MB and 0 MB are", shown)
    assert list((small_disk / "run" / "checkpoints").iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert main(command) == 0
