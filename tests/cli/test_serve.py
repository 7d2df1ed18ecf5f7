"""`bert-ms serve` says what it would serve, and what it will not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bert_ms.cli import main
from bert_ms.cli.parser import parse
from bert_ms.cli.serve import SETTINGS
from tests.support import minilm

pytest.importorskip("pydantic", reason="the extra [serve] is not installed: pip install 'bert-ms[serve]'")


def test_a_dry_run_prints_the_settings_and_where_the_models_are(capsys: pytest.CaptureFixture[str]) -> None:
    folder = minilm()
    assert main(["serve", "minilm", f"mine={folder}", "--dry-run", "--port", "0", "--set", "idle-timeout=5"]) == 0
    shown = capsys.readouterr().out
    values = yaml.safe_load(shown)
    assert list(values["models"]) == ["minilm", "mine"]
    assert (values["port"], values["idle_timeout"]) == (0, 5.0)
    assert f"# minilm: {folder}" in shown and f"# mine: {folder}" in shown


def test_models_may_stand_behind_options(capsys: pytest.CaptureFixture[str]) -> None:
    folder = minilm()
    command = ["serve", "minilm", "--port", "0", f"mine={folder}", "--dry-run", str(folder)]
    assert main(command) == 0
    assert list(yaml.safe_load(capsys.readouterr().out)["models"]) == ["minilm", "mine", folder.name]


def test_the_environment_is_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    minilm()
    monkeypatch.setenv("BERTMS_MAX_ITEMS", "7")
    monkeypatch.setenv("BERTMS_API_KEYS", "a-key-of-sixteen-characters")
    assert main(["serve", "--dry-run", "--host", "0.0.0.0"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["max_items"] == 7
    assert "a-key-of" not in shown


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--host", "0.0.0.0"], 2, "there is no API key"),
        (["--port", "99999"], 2, "port is 99999"),
        (["--set", "idle"], 2, "--set is 'idle': expected KEY=VALUE"),
        (["--set", "idle_timeot=3"], 2, "did you mean 'idle_timeout'?"),
        (["-c", "missing.yaml"], 2, "missing.yaml cannot be read"),
        (["a=x", "a=y"], 2, "two models are called a"),
        (["nobody", "--dry-run"], 1, "nobody"),
        (["./nowhere", "--dry-run"], 1, "nowhere"),
        (["minilm", "qa=./nowhere", "--port", "0", "--admin-port", "0"], 1, "nowhere"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["serve", *arguments]) == code
    assert said in capsys.readouterr().err


def test_the_nearest_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--max-item", "3"])
    assert ended.value.code == 2
    assert "Did you mean --max-items?" in capsys.readouterr().err


def test_every_option_is_a_setting(tmp_path: Path) -> None:
    from serving.settings import ServerSettings

    assert set(SETTINGS) <= set(ServerSettings.model_fields)
    arguments = parse(["serve", "a", "b=c"])
    assert all(getattr(arguments, name) is None for name in SETTINGS)
    assert arguments.models == ["a", "b=c"]
