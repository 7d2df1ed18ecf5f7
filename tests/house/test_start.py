"""Starting is quick, because MindSpore is not imported until it is needed."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.support import REPOSITORY


def seconds(*command: str) -> float:
    """The least of three runs, in seconds of the processor: other processes may be busy."""
    times = []
    for _ in range(3):
        begun = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, capture_output=True)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime)
    return min(times)


@pytest.mark.parametrize("command", [("-c", "import bert_ms"), ("-m", "bert_ms.cli", "--help")], ids=["import", "help"])
def test_it_takes_well_under_a_second(command: tuple[str, ...]) -> None:
    assert seconds(*command) < 0.3 + seconds("-c", "pass")


@pytest.mark.parametrize("command", ["prepare", "train", "evaluate", "predict", "convert", "serve", "doctor"])
def test_help_imports_neither_mindspore_nor_numpy(command: str) -> None:
    program = (
        "import sys; from bert_ms.cli import main\n"
        "try:\n    main([sys.argv[1], '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'mindspore', 'numpy', 'yaml'} & set(sys.modules)"
    )
    command_line = [sys.executable, "-c", program, command]
    done = subprocess.run(command_line, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"Examples:\n  bert-ms {command}" in done.stdout
