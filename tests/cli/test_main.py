"""The command line: what is printed, on which stream, with which code."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from bert_ms import checkpoint
from bert_ms.cli import main
from bert_ms.cli.parser import parse
from bert_ms.config import RunConfig
from bert_ms.errors import CheckpointError

RESULT = types.SimpleNamespace(
    status="finished",
    folder=Path("runs/x"),
    metric="f1",
    scores={"f1": 50.0, "exact_match": 40.0},
    before={"f1": 5.5},
    exit_status=0,
)


DRY_RUN = types.SimpleNamespace(
    device="cpu",
    backend="cell",
    batch=(8, 256),
    loss=5.5,
    compile_seconds=9.0,
    step_seconds=0.5,
    evaluation_seconds=None,
    parameters=22_000_000,
    learning=150_000,
    megabytes={"weights": 90.0, "activations": 800.0, "total": 890.0},
    peak_megabytes=1500.0,
)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, RunConfig, dict[str, Any]]]:
    """Stands in for `bert_ms.pipelines.runs`, which imports MindSpore; notes each call."""
    calls: list[tuple[str, RunConfig, dict[str, Any]]] = []
    module = types.ModuleType("bert_ms.pipelines.runs")
    results = {"prepare": {"train.json": {"examples": 1200, "rows": 1300}}, "dry_run": DRY_RUN}
    for name in ("prepare", "train", "evaluate", "predict", "dry_run", "check"):

        def call(config: RunConfig, *_: Any, _name: str = name, **options: Any) -> Any:
            calls.append((_name, config, options))
            return results.get(_name, RESULT)

        setattr(module, name, call)
    monkeypatch.setitem(sys.modules, "bert_ms.pipelines.runs", module)
    monkeypatch.setattr("bert_ms.pipelines.runs", module, raising=False)
    return calls


def test_train_calls_the_library_once_and_prints_its_result(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-c", "squad_sample", "epochs=1", "--fresh", "seed=3"]) == 0
    ((name, config, options),) = runs
    assert (name, config.training.epochs, config.seed, options) == ("train", 1.0, 3, {"resume": False})
    assert capsys.readouterr().out == (
        "finished: runs/x\n  f1                         5.5 ->        50  (decides)\n  exact_match                 40\n"
    )


def test_the_exit_code_is_the_runs_own(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted = types.SimpleNamespace(**{**vars(RESULT), "status": "interrupted", "exit_status": 143})
    monkeypatch.setattr("bert_ms.pipelines.runs.train", lambda config, resume: interrupted)
    assert main(["train", "-c", "squad_sample"]) == 143


@pytest.mark.parametrize(
    ("command", "called"),
    [
        (["train", "-c", "squad_sample", "--dry-run"], "dry_run"),
        (["evaluate", "-c", "squad_sample"], "evaluate"),
        (["evaluate", "-c", "squad_sample", "--dry-run", "--devices", "2"], "dry_run"),
        (["predict", "-c", "squad_sample", "predict_file=questions.json"], "predict"),
        (["prepare", "-c", "squad_sample"], "prepare"),
    ],
)
def test_each_command_calls_its_function(
    command: list[str], called: str, runs: list[tuple[str, RunConfig, dict[str, Any]]]
) -> None:
    assert main(command) == 0
    assert [name for name, _, _ in runs] == [called]


def test_the_backend_is_handed_on(runs: list[tuple[str, RunConfig, dict[str, Any]]]) -> None:
    assert main(["evaluate", "-c", "squad_sample", "--backend", "onnx"]) == 0
    assert main(["predict", "-c", "squad_sample", "predict_file=questions.json"]) == 0
    assert [options for _, _, options in runs] == [{"backend": "onnx"}, {"backend": "auto"}]


def test_a_dry_run_says_what_it_found(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "-c", "squad_sample", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "runs on cpu: 22,000,000 parameters, 150,000 of them learn, 8 x 256 tokens, loss 5.500" in text
    assert "memory, estimated 890 MB (weights 90, activations 800)" in text
    assert text.endswith("nothing was written\n")


def test_overrides_may_stand_before_and_after_options(runs: list[tuple[str, RunConfig, dict[str, Any]]]) -> None:
    assert main(["train", "seed=1", "-c", "squad_sample", "epochs=2", "-q", "seed=5"]) == 0
    assert runs[0][1].seed == 5


@pytest.mark.parametrize("place", [0, 1, 4])
def test_options_of_every_command_may_stand_before_it(place: int) -> None:
    command = ["hub", "rank", "--data", "rows.csv"]
    found = parse([*command[:place], "-q", *command[place:]])
    assert (found.quiet, found.verbose, found.debug) == (True, False, False)


def test_checkpoints_and_values_may_stand_behind_options() -> None:
    found = parse(["hub", "rank", "label_column=mood", "--rows", "50", "minilm", "--json", "text_column=review"])
    assert found.given == ["label_column=mood", "minilm", "text_column=review"]


def test_several_devices_become_workers_running_the_same_command(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: dict[str, Any] = {}

    def launch(command: list[str], **options: Any) -> int:
        launched.update(options, command=command)
        return 7

    monkeypatch.setattr("bert_ms.training.launch.launch", launch)
    arguments = ["train", "-c", "squad_sample", "--devices", "2", "output_dir=here"]
    assert main(arguments) == 7
    assert [name for name, _, _ in runs] == ["check"]
    assert launched["command"] == [sys.executable, "-m", "bert_ms.cli", *arguments]
    assert (launched["workers"], launched["log_dir"], launched["device"]) == (2, Path("here/logs"), "auto")


def test_a_worker_trains_and_does_not_launch_again(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bert_ms.training.launch.inside_worker", lambda: True)
    assert main(["train", "-c", "squad_sample", "--devices", "2"]) == 0
    assert [name for name, _, _ in runs] == ["train"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train"], "the following arguments are required: -c/--config"),
        (["train", "-c", "squad_sample", "--dry_run"], "unknown option --dry_run. Did you mean --dry-run?"),
        (["train", "-c", "squad_sample", "--epochs=1"], "are given without dashes: epochs=1"),
        (["train", "-c", "squad_sample", "fast"], "'fast' is not understood"),
        (["train", "-c", "squad_sample", "--devices", "0"], "'0' is no number of devices: expected 1 to 1,024"),
        (["doctor", "epochs=1"], "doctor has no configuration, so it takes no epochs=1"),
        (["convert", "a", "b", "--format", "onnx"], "invalid choice: 'onnx'"),
        (["trian"], "invalid choice: 'trian'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_ends_with_two_and_says_why(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_of_answers_is_scored_without_a_network(
    runs: list[tuple[str, RunConfig, dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = {"id": "1", "question": "Who?", "answers": [{"text": "Ada Lovelace", "answer_start": 0}]}
    paragraph = {"context": "Ada Lovelace wrote it.", "qas": [question]}
    data = {"version": "1.1", "data": [{"title": "Ada", "paragraphs": [paragraph]}]}
    (tmp_path / "dev.json").write_text(json.dumps(data))
    (tmp_path / "answers.json").write_text('{"1": "Lovelace"}')
    assert main(["evaluate", "--predictions", "answers.json", "eval_file=dev.json"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["exact_match", "0.0000"] in lines
    assert ["f1", "66.6667"] in lines
    assert not runs


def test_evaluate_needs_a_configuration_or_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "eval_file=dev.json"]) == 2
    assert "say -c CONFIG, or --predictions FILE" in capsys.readouterr().err


def test_a_bad_configuration_ends_with_two_and_all_problems(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-c", "squad_sample", "lr=1", "epochs=x"]) == 2
    error = capsys.readouterr().err
    assert "2 problems" in error
    assert "unknown key 'lr': did you mean optimizer.learning_rate?" in error
    assert "training.epochs is 'x': expected a number." in error
    assert "Traceback" not in error


def test_a_command_without_its_file_says_how_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-c", "squad_sample"]) == 2
    assert "data.predict_file is not given" in capsys.readouterr().err


def failing(error: BaseException) -> Any:
    def run(*_: Any, **__: Any) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CheckpointError("weights.ckpt is cut short"), 1, "bert-ms: error: weights.ckpt is cut short\n"),
        (OSError(28, "No space left on device", "runs/x"), 1, "error: runs/x: No space left on device\n"),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, "bert-ms: error: interrupted\n"),
        (MemoryError("std::bad_alloc"), 1, "--dry-run estimates what a run needs.\n"),
        (RuntimeError("Allocate memory failed, size 8GB"), 1, "--dry-run estimates what a run needs.\n"),
    ],
)
def test_a_failure_is_told_without_a_traceback(
    error: BaseException,
    code: int,
    message: str,
    runs: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bert_ms.pipelines.runs.train", failing(error))
    assert main(["train", "-c", "squad_sample"]) == code
    shown = capsys.readouterr().err
    assert shown.endswith(message)
    assert "Traceback" not in shown


def test_debug_shows_the_traceback(runs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_ms.pipelines.runs.train", failing(CheckpointError("cut short")))
    with pytest.raises(CheckpointError):
        main(["train", "-c", "squad_sample", "--debug"])


def test_an_endless_error_is_cut_to_a_screen(
    runs: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bert_ms.pipelines.runs.train", failing(CheckpointError("\n".join(map(str, range(500))))))
    assert main(["train", "-c", "squad_sample"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "... and 460 more lines (--debug shows all)"


def test_a_defect_of_ours_is_not_hidden(runs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bert_ms.pipelines.runs.train", failing(AttributeError("a defect")))
    with pytest.raises(AttributeError):
        main(["train", "-c", "squad_sample"])


def test_convert_prints_where_it_wrote(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def convert(source: str, destination: str, **options: Any) -> Path:
        seen.update(options, source=source, destination=destination)
        return Path(destination) / "model.safetensors"

    monkeypatch.setattr("bert_ms.cli.convert.convert_checkpoint", convert)
    assert main(["convert", "here", "there", "--format", "safetensors"]) == 0
    assert seen == {"source": "here", "destination": "there", "format": "safetensors", "config": None}
    assert capsys.readouterr().out == "there/model.safetensors\n"


def test_convert_offers_every_format_that_is_written() -> None:
    for name in checkpoint.FORMATS:
        assert parse(["convert", "here", "there", "--format", name]).format == name


def test_several_seeds_on_several_devices_are_launched_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bert_ms.pipelines import runs

    commands: list[list[str]] = []

    def launch(command: list[str], *, log_dir: Path, **_: Any) -> int:
        commands.append(command)
        (log_dir.parent).mkdir(parents=True)
        score = 80.0 + len(commands)
        result = {"status": "finished", "steps": 4, "metric": "f1", "scores": {"f1": score}}
        (log_dir.parent / "result.json").write_text(json.dumps(result))
        return 0

    monkeypatch.setattr("bert_ms.training.launch.launch", launch)
    monkeypatch.setattr(runs, "check", lambda *_: None)
    place = f"output_dir={tmp_path / 'series'}"
    assert main(["train", "-c", "squad_sample", "seeds=[3, 4]", place, "--devices", "2"]) == 0
    own = [command[-3:] for command in commands]
    assert own == [["seeds=[]", f"seed={seed}", f"{place}/seed_{seed}"] for seed in (3, 4)]
    assert "f1                        81.5      0.707" in capsys.readouterr().out
