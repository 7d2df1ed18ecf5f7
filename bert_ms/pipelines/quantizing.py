"""An exported ONNX folder rounded to INT8, with a report of what that cost on the user's own data."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import tasks
from bert_ms.config import DataConfig, RunConfig
from bert_ms.data.pretraining import text
from bert_ms.errors import ConfigError, DataError, unknown
from bert_ms.export import folder as folders
from bert_ms.export import quantization as int8
from bert_ms.export.folder import ExportRecord
from bert_ms.export.onnx_graph.files import MODEL_FILE
from bert_ms.export.verify import text_batch
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.pipelines.exported import Exported, open_exported
from bert_ms.pipelines.loading import OpenedModel, data_file
from bert_ms.pipelines.runners import load_runner
from bert_ms.pipelines.text.rows import features_of
from bert_ms.records import Features
from bert_ms.tasks.work import Work
from bert_ms.tokenization import Tokenizer
from bert_ms.training.recorder import Recorder

logger = logging.getLogger(__name__)

_TEXT = ((16, 128),)  # rows and tokens of packaged text, where the user names none of their own


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How to round, and on what to measure.

    Attributes:
        mode: dynamic or static.
        calibration: file to measure ranges and differences on; None takes packaged text for the differences.
        evaluation: file to score both networks on; None scores nothing.
        run: how these files are read.
    """

    mode: str
    calibration: Path | None
    evaluation: Path | None
    run: RunConfig


def settled_quantization(
    mode: str,
    task: str,
    calibration: str | os.PathLike[str] | None,
    evaluation: str | os.PathLike[str] | None,
    run: RunConfig | None,
    *,
    longest: int | None,
) -> Quantization:
    """What the caller asks for, checked.

    Args:
        mode: dynamic or static.
        task: of the network.
        calibration: a file, or `sample` for questions; None where there is none.
        evaluation: as `calibration`.
        run: how they are read; None reads them as the task usually does.
        longest: that the network can take, in tokens.

    Raises:
        ConfigError: the mode is unknown, a file is missing or not needed, or `run` is of another task.
    """
    if mode not in int8.MODES:
        raise ConfigError(unknown("mode of quantisation", mode, int8.MODES))
    if mode == "static" and calibration is None:
        raise ConfigError(
            "quantize is static, which measures ranges on rows of your own data, and calibration names none: name a "
            "file (--calibration FILE), or choose dynamic."
        )
    if run is not None and run.task != task:
        raise ConfigError(f"the configuration is for task '{run.task}', and the network for '{task}': name another.")
    if evaluation is not None and tasks.get(task).work is None:
        raise ConfigError(f"evaluation is {evaluation}, and task '{task}' has no scores: leave it out.")
    settled = run or RunConfig(task=task, data=DataConfig(max_length=min(DataConfig().max_length, longest or 1 << 30)))
    return Quantization(
        mode=mode,
        calibration=_file(settled, calibration, "predict_file"),
        evaluation=_file(settled, evaluation, "eval_file"),
        run=settled,
    )


def quantized(before: Path, fused: Path, scratch: Path, how: Quantization, tokenizer: Tokenizer) -> ExportRecord:
    """Write the INT8 copy of an exported folder, its report among the files, and give its record.

    Args:
        before: the float32 folder, complete.
        fused: a folder with the same network's graph for ONNX Runtime, which is the one to round.
        scratch: an empty folder to write into.
        how: to round.
        tokenizer: of the network.

    Raises:
        ConfigError: the network cannot be rounded as asked.
        DataError: a file cannot be read.
    """
    floats = open_exported(before)
    batches = _calibration(floats, how, tokenizer)
    for name in floats.record.files:
        if not name.startswith(MODEL_FILE):
            (scratch / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(before / name, scratch / name)
    compared = batches or [
        text_batch(
            tokenizer,
            floats.config,
            floats.record.task,
            batch,
            min(length, floats.config.max_sequence_length or length),
        )
        for batch, length in _TEXT
    ]
    facts = int8.quantize(fused / MODEL_FILE, scratch, mode=how.mode, calibration=compared)
    record = dataclasses.replace(
        floats.record,
        precision=f"int8-{how.mode}",  # type: ignore[arg-type]
        files=folders.stored_files(scratch),
    )
    rounded_off = Exported(scratch, record, floats.config, floats.weights)
    both = {"float32": floats, "int8": rounded_off}
    runs = [exported.backend(device="cpu") for exported in both.values()]
    changes = int8.differences(runs[0].run, runs[1].run, compared, record.outputs)
    scores = None
    if how.evaluation is not None:
        scores = _scores(both, runs, how, tokenizer)
    int8.write_report(scratch, int8.report(facts, changes, scores))
    return dataclasses.replace(record, files=folders.stored_files(scratch))


def _file(run: RunConfig, given: str | os.PathLike[str] | None, key: str) -> Path | None:
    named: dict[str, Any] = {key: None if given is None else str(given)}
    data = dataclasses.replace(run.data, **named)
    return data_file(dataclasses.replace(run, data=data), key)


def _calibration(exported: Exported, how: Quantization, tokenizer: Tokenizer) -> list[list[np.ndarray]]:
    """Rows of the user's own data as the network sees them; none where no file is named."""
    if how.calibration is None:
        return []
    task = tasks.get(exported.record.task)
    if task.work is None or task.scorer is not None:
        return int8.calibration_rows(_lines(how.calibration, tokenizer, how.run.data.max_length))
    return int8.calibration_rows(_work(exported, how, tokenizer).prepare(how.calibration, "predict").features)


def _lines(file: Path, tokenizer: Tokenizer, max_length: int) -> Features:
    """One text a line."""
    lines = [line for line, _ in text.stream(text.files_of(file), "sentences")]
    if not lines:
        raise DataError(f"{file} holds no text: expected one text a line.")
    rows: Any = tokenizer.encode_batch(lines, max_length=max_length, truncation="longest_first")
    return features_of(list(rows), pad_token_id=tokenizer.pad_token_id)


def _work(exported: Exported, how: Quantization, tokenizer: Tokenizer) -> Work:
    made: Work = tasks.get(exported.record.task).load("work")(how.run, tokenizer, exported.config)
    return made


def _scores(
    both: Mapping[str, Exported], runs: Sequence[object], how: Quantization, tokenizer: Tokenizer
) -> dict[str, dict[str, float]]:
    """The task's scores of each network by its name."""
    found = {}
    for (name, exported), backend in zip(both.items(), runs, strict=True):
        assert how.evaluation is not None
        work = _work(exported, how, tokenizer)
        prepared = work.prepare(how.evaluation, "evaluate")
        opened = OpenedModel(exported.config, None, tokenizer, exported)
        runner = load_runner(how.run, opened, work, backend)
        evaluator = Evaluator(runner, tasks.get(exported.record.task), work, prepared, how.run)
        found[name] = rounded(evaluator(Recorder()))
        logger.info("%s: %s", name, ", ".join(f"{key} {value:.4g}" for key, value in found[name].items()))
    return found
