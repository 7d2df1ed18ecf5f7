"""metrics.jsonl and TensorBoard events: nothing lost, nothing twice."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest

from bert_ms.errors import DataError, TrainingError
from bert_ms.training.metrics_log import EVAL, TRAIN, MetricsLog, TensorBoardLog, open_sinks, read_metrics


def _logged(path: Path, steps: range, resume_step: int | None = None) -> None:
    log = MetricsLog(path, resume_step=resume_step)
    for step in steps:
        log.write(TRAIN, step, {"epoch": step / 10, "loss": 1 / step, "grad_norm": None})
    log.close()


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(TRAIN, 10, {"loss": 1.5, "learning_rate": 1e-4})
    log.write(EVAL, 10, {"f1": 60.0})
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"kind": "train", "step": 10, "loss": 1.5, "learning_rate": 1e-4},
        {"kind": "eval", "step": 10, "f1": 60.0},
    ]
    log.close()


def test_resumed_log_equals_an_undisturbed_one(tmp_path: Path) -> None:
    _logged(tmp_path / "whole", range(1, 11))
    _logged(tmp_path / "resumed", range(1, 9))
    with (tmp_path / "resumed").open("a") as file:
        file.write('{"kind": "train", "st')  # killed in the middle of a line
    _logged(tmp_path / "resumed", range(6, 11), resume_step=5)
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_new_run_begins_a_new_file(tmp_path: Path) -> None:
    _logged(tmp_path / "metrics.jsonl", range(1, 5))
    _logged(tmp_path / "metrics.jsonl", range(1, 3))
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]


def test_evaluation_done_before_the_checkpoint_is_not_written_twice(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m")
    log.write(EVAL, 5, {"f1": 60.0})
    log.close()
    again = MetricsLog(tmp_path / "m", resume_step=5)
    again.write(EVAL, 5, {"f1": 60.0})
    again.close()
    assert len(read_metrics(tmp_path / "m")) == 1


def test_loss_that_is_not_a_number_stays_json(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m")
    log.write(TRAIN, 1, {"loss": float("nan"), "grad_norm": float("inf")})
    log.close()
    assert (tmp_path / "m").read_text() == '{"kind": "train", "step": 1, "loss": null, "grad_norm": null}\n'


def test_missing_file_has_no_lines_and_foreign_lines_are_refused(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none") == []
    (tmp_path / "m").write_text('{"kind": "train", "step": 1}\n{"loss": 1}\n')
    with pytest.raises(DataError, match="line 2 is not a line of metrics"):
        read_metrics(tmp_path / "m")


def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog(tmp_path / "m")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="cannot be written: No space left on device"):
        log.write(TRAIN, 1, {"loss": 1.0})
    log.close()


def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    log = TensorBoardLog(tmp_path, resume_step=7)
    log.write(TRAIN, 8, {"loss": 1.5, "grad_norm": None, "note": "x"})
    log.close()
    (events,) = tmp_path.iterdir()
    assert b"train/loss" in events.read_bytes()
    assert b"grad_norm" not in events.read_bytes()


def test_a_full_disk_ends_events_with_a_warning_and_not_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("tensorboardX")
    log = TensorBoardLog(tmp_path)
    log._writer.write_event = full_disk
    for step in range(50):  # its own writer would wait for ever after ten
        log.write(TRAIN, step, {"loss": 1.0})
    log.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"no more TensorBoard events: {tmp_path}: No space left on device"
    ]


def full_disk(event: object) -> None:
    raise OSError(28, "No space left on device")


def test_run_goes_on_without_tensorboardx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with caplog.at_level(logging.WARNING):
        sinks = open_sinks(tmp_path)
    assert len(sinks) == 1
    assert "tensorboardX is needed to write TensorBoard events" in caplog.text
    assert "training.tensorboard=false" in caplog.text
    sinks[0].close()
