"""What a stranger would stumble over: paths of one machine, commands that do not exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bert_ms.cli.parser import parse
from bert_ms.config.loading import named_configs, resolve_config
from tests.support import REPOSITORY

MACHINE_PATH = re.compile(r"(?<![\w.:~{}-])/(?:work|root|farm|home/\w+)/")


def tracked_files() -> list[Path]:
    """Files that git knows; the test is skipped outside a git checkout."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout, so there is no list of its files")
    return [REPOSITORY / name for name in done.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def test_no_file_names_a_path_of_one_machine() -> None:
    files = [path for path in tracked_files() if path.suffix in (".py", ".sh", ".md", ".yaml", ".toml", ".json", "")]
    assert len(files) > 50
    wrong = []
    for path in files:
        if path == Path(__file__) or "data" in path.relative_to(REPOSITORY).parts[1:2]:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if MACHINE_PATH.search(line):
                wrong.append(f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()[:100]}")
    assert not wrong


def test_the_sample_says_where_it_is_from_and_under_which_licence() -> None:
    sample = REPOSITORY / "bert_ms" / "sample"
    readme = (sample / "README.md").read_text(encoding="utf-8")
    for needed in ("Rajpurkar", "CC BY-SA 4.0", "Changed from the original", "https://rajpurkar.github.io"):
        assert needed in readme
    assert "Attribution-ShareAlike 4.0 International" in (sample / "LICENSE").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in sample.glob("*.json")) < 1_000_000


def commands_of_the_readme() -> list[str]:
    """Every line of a code block of the README that starts with a command of ours."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if re.match(r"(bash scripts/|bert-ms )", line)]


def test_every_command_of_the_readme_exists() -> None:
    commands = commands_of_the_readme()
    assert len(commands) >= 8
    assert {"bash scripts/run_squad.sh", "bash scripts/test.sh"} <= set(commands)
    for command in commands:
        words = command.split()
        if words[0] == "bash":
            assert (REPOSITORY / words[1]).is_file(), command
        else:
            parse(words[1:])  # ends the process where a command or an option is unknown
        for name in re.findall(r"-c (\w+)(?:\s|$)", command):
            overrides = [word for word in words if re.match(r"[a-z_.]+=", word)]
            assert name in named_configs(), command
            resolve_config(name, overrides)
