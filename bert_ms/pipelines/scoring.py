"""Running trained weights over a file: evaluate and predict."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from bert_ms import tasks
from bert_ms.config import RunConfig
from bert_ms.pipelines.conclusion import write_scores
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.pipelines.line_answers import answer_lines
from bert_ms.pipelines.loading import load_work, needed_file, open_model
from bert_ms.pipelines.results import TERMINATED, RunResult
from bert_ms.pipelines.runners import load_runner, start_session
from bert_ms.pipelines.story import story_of_evaluation
from bert_ms.tasks.work import Purpose
from bert_ms.training.folder import CONFIG, RunFolder
from bert_ms.training.recorder import Recorder
from bert_ms.training.report import write_documents
from bert_ms.training.signals import stop_on_signals
from bert_ms.training.trainer import INTERRUPTED, Interrupted

logger = logging.getLogger(__name__)


def evaluate(config: RunConfig, *, backend: str = "auto") -> RunResult:
    """Score the weights of `model.source` on `data.eval_file`; writes predictions, eval.json and report.html.

    Args:
        config: of the run.
        backend: what runs the network: cell, onnx or mindir; auto takes whichever the source is for.
    """
    return _run_network(config, "eval_file", "evaluate", backend)


def predict(config: RunConfig, *, backend: str = "auto") -> RunResult:
    """Answer what is in `data.predict_file`; writes predictions. See `evaluate`."""
    if tasks.get(config.task).answers is not None:
        return answer_lines(config, _beside_runs(Path(config.output_dir).expanduser(), "predict"), backend=backend)
    return _run_network(config, "predict_file", "predict", backend)


def _run_network(config: RunConfig, key: str, purpose: Purpose, backend: str) -> RunResult:
    task = tasks.get(config.task)
    file = needed_file(config, key, purpose)
    folder = _beside_runs(Path(config.output_dir).expanduser(), purpose)
    RunFolder(folder).check_place()
    opened = open_model(config, backend=backend)
    began = time.monotonic()
    with stop_on_signals() as stop:
        session, runs = start_session(config, opened)
        work = load_work(config, opened)
        prepared = work.prepare(file, purpose)
        runner = load_runner(config, opened, work, runs)
        del opened  # it maps the file of the weights
        evaluator = Evaluator(runner, task, work, prepared, config, distributed=session.distributed, stop=stop)
        is_main = session.distributed.is_main
        with Recorder(is_shown=is_main) as recorder:
            recorder.show_alone()
            try:
                evaluator.run(recorder)
            except Interrupted:
                return RunResult(status=INTERRUPTED, folder=folder, exit_status=stop.exit_status or TERMINATED)
    scores = work.score(prepared, evaluator.predictions) if purpose == "evaluate" else {}
    if is_main:
        work.write(folder, prepared, evaluator.predictions)
        if scores:
            answered = {"backend": runner.format, "precision": runner.precision}
            write_scores(folder, scores, {"eval_file": str(file), "source": config.model.source, **answered})
            seconds = {"evaluating": time.monotonic() - began}
            write_documents(
                folder, story_of_evaluation(config, evaluator, scores, device=session.device, seconds=seconds)
            )
    metric = config.training.metric or work.metric(config) or task.metric
    return RunResult(
        status="finished",
        folder=folder,
        metric=metric if metric in scores or not scores else next(iter(scores)),
        scores=rounded(scores),
        seconds={purpose: round(time.monotonic() - began, 1)},
    )


def _beside_runs(path: Path, purpose: str) -> Path:
    """`path`, or a folder in it where a training run has its own files there."""
    return path / purpose if (path / CONFIG).exists() else path
