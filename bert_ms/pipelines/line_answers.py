"""Answering a text file line by line: words for each [MASK], or what goes on from there."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.data.pretraining import text
from bert_ms.errors import DataError
from bert_ms.files import write_file
from bert_ms.pipelines.loading import OpenedModel, load_network, load_work, needed_file, open_model
from bert_ms.pipelines.opening import OpenedPipeline, on_cell, on_exported
from bert_ms.pipelines.results import RunResult
from bert_ms.pipelines.runners import start_session
from bert_ms.training.folder import RunFolder

logger = logging.getLogger(__name__)

FILE = "predictions.jsonl"


def answer_lines(config: RunConfig, folder: Path, *, backend: str = "auto") -> RunResult:
    """Answer every line of `data.predict_file` that is not blank, by the pipeline that the task names.

    Each line of predictions.jsonl holds `text` and `prediction`, the text with its gaps filled, or with what follows.
    With gaps it also has `words`: for each gap the most likely ones, `evaluation.n_best` of them, with their
    probabilities. What follows has up to `evaluation.max_answer_length` word pieces, with their `log_probability`.

    Args:
        config: of the run.
        folder: to write to.
        backend: what runs the network: cell, onnx or mindir; auto takes whichever the source is for.

    Raises:
        ConfigError: a value cannot be used.
        DataError: the file cannot be read, or a line has nothing to answer.
        CheckpointError: the weights cannot be read.
    """
    task = tasks.get(config.task)
    assert task.answers is not None
    file = needed_file(config, "predict_file", "predict")
    RunFolder(folder).check_place()
    opened = open_model(config, backend=backend)
    lines = [line for line, _ in text.stream(text.files_of(file), "sentences")]
    if not lines:
        raise DataError(f"{file} holds no text: expected one text a line.")
    began = time.monotonic()
    session, _ = start_session(config, opened)
    found = _open_pipeline(config, opened, task.answers)
    nlp = found.pipeline(batch_size=config.evaluation.batch_size, max_length=config.data.max_length)
    said = _TELL[task.answers](nlp, lines, config)
    if session.distributed.is_main:
        whole = [{"text": line, **answer} for line, answer in zip(lines, said, strict=True)]
        content = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in whole)
        write_file(folder / FILE, content, error=DataError)
    return RunResult(status="finished", folder=folder, seconds={"predict": round(time.monotonic() - began, 1)})


def _open_pipeline(config: RunConfig, opened: OpenedModel, name: str) -> OpenedPipeline:
    if opened.exported is not None:
        return on_exported(name, opened.exported, opened.tokenizer, device=config.device, threads=config.threads)
    return on_cell(name, load_network(config, opened, load_work(config, opened)), opened.tokenizer)


def _fill(nlp: Any, lines: Sequence[str], config: RunConfig) -> list[dict[str, Any]]:
    """The text with the best word in each gap, and the best words of each."""
    mask = nlp.tokenizer.options.mask_token
    found = []
    for line, answer in zip(lines, nlp(list(lines), top_k=config.evaluation.n_best), strict=True):
        gaps = [answer] if isinstance(answer[0], Mapping) else answer
        words = [[{"word": word["token_str"], "probability": word["score"]} for word in gap] for gap in gaps]
        filled = line
        for gap in words:
            filled = filled.replace(mask, gap[0]["word"], 1)
        found.append({"prediction": filled, "words": words})
    return found


def _continue(nlp: Any, lines: Sequence[str], config: RunConfig) -> list[dict[str, Any]]:
    """The text with the likeliest next word again and again, and how likely what was added is."""
    room = min(config.evaluation.max_answer_length, config.data.max_length // 2)
    answers = [answer[0] for answer in nlp(list(lines), max_new_tokens=room)]
    return [{"prediction": answer["generated_text"], "log_probability": answer["score"]} for answer in answers]


# How the answers of a pipeline are told.
_TELL = {"fill-mask": _fill, "text-generation": _continue}
