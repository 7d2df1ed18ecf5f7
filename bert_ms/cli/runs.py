"""`bert-ms prepare, train, evaluate, predict`: one configuration in, one library call, its result printed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_ms.config import RunConfig
from bert_ms.config.loading import resolve_config
from bert_ms.errors import ConfigError
from bert_ms.training import launch as launching

if TYPE_CHECKING:
    from bert_ms.pipelines.runs import DryRun, RunResult, SeedsResult
    from bert_ms.tasks.work import Purpose


def prepare(arguments: argparse.Namespace) -> int:
    """Fill the cache of features."""
    config = _config(arguments)
    from bert_ms.pipelines import runs

    for file, facts in runs.prepare(config).items():
        print(f"{file}: " + ", ".join(f"{count:,} {name}" for name, count in facts.items()))
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Train and evaluate, and leave a run folder; with several seeds, a folder for each."""
    config = _config(arguments)
    if not config.seeds or arguments.dry_run:
        return _run(arguments, config, "train", resume=not arguments.fresh)
    from bert_ms.pipelines import runs

    is_launched = launching.is_needed(arguments.devices, device=config.device)
    run = partial(_launched, arguments) if is_launched else None
    return _show_seeds(runs.train_seeds(config, resume=not arguments.fresh, run=run))


def evaluate(arguments: argparse.Namespace) -> int:
    """Score weights on `data.eval_file`."""
    config = _config(arguments)
    _require(config.data.eval_file, "data.eval_file", "eval_file=dev.json")
    if arguments.predictions:
        return _score(config, arguments.predictions, arguments.null_odds)
    if arguments.config is None:
        raise ConfigError("no configuration is given: say -c CONFIG, or --predictions FILE to score answers alone.")
    return _run(arguments, config, "evaluate", backend=arguments.backend)


def predict(arguments: argparse.Namespace) -> int:
    """Answer what is in `data.predict_file`."""
    config = _config(arguments)
    example = "questions.json" if config.task == "question-answering" else "test.tsv"
    _require(config.data.predict_file, "data.predict_file", f"predict_file={example}")
    return _run(arguments, config, "predict", backend=arguments.backend)


def _run(arguments: argparse.Namespace, config: RunConfig, what: Purpose, **options: Any) -> int:
    """Do it here; or, with several devices, in as many workers, whose exit code is passed on."""
    from bert_ms.pipelines import runs

    backend = {name: options[name] for name in options if name == "backend"}
    if not arguments.dry_run and launching.is_needed(arguments.devices, device=config.device):
        return _launch(arguments, config, what, **backend)
    if arguments.dry_run:
        return _show_dry_run(runs.dry_run(config, purpose=what, **backend))
    return _show(getattr(runs, what)(config, **options))


def _launch(
    arguments: argparse.Namespace, config: RunConfig, what: Purpose, overrides: Sequence[str] = (), **options: Any
) -> int:
    """The same command, with overrides behind it, in as many workers as there are to be devices."""
    from bert_ms.pipelines import runs

    runs.check(config, what, **options)
    command = [sys.executable, "-m", "bert_ms.cli", *arguments.argv, *overrides]
    logs = Path(config.output_dir).expanduser() / "logs"
    return launching.launch(command, workers=arguments.devices, log_dir=logs, device=config.device)


def _launched(arguments: argparse.Namespace, config: RunConfig) -> RunResult:
    """One seed's run in workers of its own."""
    from bert_ms.pipelines import runs

    overrides = ["seeds=[]", f"seed={config.seed}", f"output_dir={config.output_dir}"]
    return runs.result_in_folder(config, _launch(arguments, config, "train", overrides))


def _config(arguments: argparse.Namespace) -> RunConfig:
    return resolve_config(arguments.config, arguments.overrides)


def _require(value: str | None, key: str, example: str) -> None:
    if value is None:
        raise ConfigError(f"{key} is not given: add it to the configuration, or say {example}.")


def _score(config: RunConfig, predictions: str, null_odds: str | None) -> int:
    from bert_ms.metrics import squad
    from bert_ms.pipelines.loading import data_file

    if config.task != "question-answering":
        raise ConfigError(
            f"--predictions scores answers to SQuAD's questions, and task is '{config.task}': score its weights "
            f"instead, without --predictions."
        )
    dataset = data_file(config, "eval_file")
    assert dataset is not None  # required above
    for name, score in squad.evaluate(dataset, predictions, null_odds, language=config.evaluation.language).items():
        print(f"{name:20s}{score:10.4f}")
    return 0


def _show(result: RunResult) -> int:
    """Scores before and after, side by side, and where the rest is; returns the exit code."""
    print(f"{result.status}: {result.folder}")
    for name, score in result.scores.items():
        before = f"{result.before[name]:10.4g} ->" if name in result.before else ""
        mark = "  (decides)" if name == result.metric else ""
        print(f"  {name:20s}{before}{score:10.4g}{mark}")
    report = Path(result.folder) / "report.html"
    if report.is_file():
        print(f"report: {report}")
    return result.exit_status


def _show_seeds(found: SeedsResult) -> int:
    """A table of scores: mean, deviation, and each seed's; returns the exit code."""
    for seed, result in found.runs.items():
        print(f"seed {seed}: {result.status}: {result.folder}")
    seeds = [seed for seed, result in found.runs.items() if result.exit_status == 0]
    if found.scores:
        print(f"  {'':20s}{'mean':>10s}{'deviation':>11s}" + "".join(f"{f'seed {seed}':>16s}" for seed in seeds))
    for name, score in found.scores.items():
        deviation = "-" if score.deviation is None else f"{score.deviation:.3g}"
        mark = "  (decides)" if name == found.metric else ""
        values = "".join(f"{score.values[seed]:16.4g}" for seed in seeds)
        print(f"  {name:20s}{score.mean:10.4g}{deviation:>11s}{values}{mark}")
    return found.exit_status


def _show_dry_run(found: DryRun) -> int:
    rows, tokens = found.batch
    loss = "" if found.loss is None else f", loss {found.loss:.3f}"
    learning = "" if found.learning is None else f", {found.learning:,} of them learn"
    size = f"exported as {found.backend}" if found.parameters is None else f"{found.parameters:,} parameters"
    print(f"runs on {found.device}: {size}{learning}, {rows} x {tokens} tokens{loss}")
    if found.step_seconds is not None:
        print(f"  train step        {found.step_seconds:.3g} s, the first {found.compile_seconds:.3g} s with compiling")
    if found.evaluation_seconds is not None:
        print(f"  evaluation step   {found.evaluation_seconds:.3g} s")
    if found.megabytes:
        parts = ", ".join(f"{name} {size:,.0f}" for name, size in found.megabytes.items() if name != "total")
        print(f"  memory, estimated {found.megabytes['total']:,.0f} MB ({parts})")
    if found.peak_megabytes is not None:
        program = "ONNX Runtime" if found.backend == "onnx" else "MindSpore"
        print(f"  memory, measured  {found.peak_megabytes:,.0f} MB at most, {program} itself included")
    print("nothing was written")
    return 0
