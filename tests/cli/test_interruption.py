"""A command that is told to end: what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TINY = Path(__file__).parents[1] / "data/pipelines/encoder"
TEXTS = "the film is good\n" * 60_000


def test_encode_says_that_it_was_interrupted_and_leaves_only_what_it_can_go_on_from(tmp_path: Path) -> None:
    scratch, texts = tmp_path / "scratch", tmp_path / "texts.txt"
    scratch.mkdir()
    texts.write_text(TEXTS)
    command = [sys.executable, "-m", "bert_ms.cli", "encode", str(TINY), "-", "-o", "out.npy", "--device", "cpu"]
    with texts.open("rb") as standard_input:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(scratch)},
            stdin=standard_input,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,  # as of a terminal
        )
    for _ in range(600):
        if (tmp_path / "out.npy.parts/0000000.npy").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # a graph has been run: MindSpore's own handler makes SIGTERM of it
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.endswith("bert-ms: error: interrupted\n")
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "out.npy").exists() and (tmp_path / "out.npy.parts/manifest.json").exists()
