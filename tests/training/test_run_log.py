"""The run's log: a full disk ends it with one line."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest

from bert_ms.training.run_log import RunLog

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full, the disk that is always full")
def test_a_full_disk_is_said_once_and_shows_no_traceback(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log = RunLog(FULL)
    for number in range(3):
        log.handle(logging.LogRecord("bert_ms", logging.INFO, "", 0, "step %d", (number,), None))
    with contextlib.suppress(OSError):
        log.close()
    assert [record.getMessage() for record in caplog.records] == [
        "/dev/full is not written any further: No space left on device"
    ]
    assert capsys.readouterr().err == ""


def test_messages_are_written(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "train.log")
    log.handle(logging.LogRecord("bert_ms", logging.INFO, "", 0, "step %d", (1,), None))
    log.close()
    assert (tmp_path / "train.log").read_text() == "step 1\n"
