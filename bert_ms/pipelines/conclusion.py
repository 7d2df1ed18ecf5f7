"""What a finished run leaves in its folder: scores, predictions, plots, the report, and the model with its card."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.config import RunConfig
from bert_ms.config.loading import to_yaml
from bert_ms.hub import catalogue, publish
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.records import QuestionPrediction
from bert_ms.tasks.work import Prepared
from bert_ms.training.files import write_file
from bert_ms.training.folder import RunFolder
from bert_ms.training.metrics_log import read_metrics
from bert_ms.training.plots import write_loss_plot
from bert_ms.training.report import RunStory, card_body, machine_facts, score_each, write_report
from bert_ms.training.trainer import Outcome

EVALUATION = "eval.json"


@dataclass(frozen=True, kw_only=True)
class Concluded:
    """All that is known when a run is over.

    Attributes:
        config: of the run.
        folder: of the run.
        network: with the weights to publish.
        tokenizer: of the network.
        outcome: of the loop.
        training: the training data.
        evaluator: holding the predictions of the weights to publish; None where nothing was evaluated.
        seconds: where the time went.
        device: that it ran on.
        workers: that it ran on.
    """

    config: RunConfig
    folder: RunFolder
    network: Any
    tokenizer: Any
    outcome: Outcome
    training: Prepared
    evaluator: Evaluator | None
    seconds: Mapping[str, float]
    device: str
    workers: int


def conclude(run: Concluded) -> dict[str, Any]:
    """Write everything into the run folder.

    Returns:
        The result, as `result.json` holds it.
    """
    folder, metric = run.folder.path, run.config.training.metric
    scores: dict[str, float] = {}
    before: Mapping[str, float] = {}
    if run.evaluator is not None:
        evaluator = run.evaluator
        scores = evaluator.work.score(evaluator.prepared, evaluator.predictions)
        evaluator.work.write(folder, evaluator.prepared, evaluator.predictions)
        before = next((e["scores"] for e in run.outcome.evaluations if e["step"] == 0), {})
        write_scores(folder, scores, {"step": run.outcome.best_step, "before": rounded(before) if before else None})
    metrics = read_metrics(folder / "metrics.jsonl")
    name = folder.resolve().name
    write_loss_plot(metrics, folder / "loss.png", title=name)
    story = _story(run, name, metrics, scores, before)
    write_report(folder / "report.html", story)
    publish.publish(
        run.network,
        folder,
        name=name,
        body=card_body(story),
        summary=f"BERT for {run.config.task} on MindSpore",
        evaluation=scores,
        licence=_licence(run.config) or "Apache2.0",
        tokenizer=run.tokenizer,
    )
    result = {
        "status": run.outcome.reason,
        "steps": run.outcome.step,
        "best_step": run.outcome.best_step,
        "metric": metric,
        "scores": rounded(scores),
        "before": rounded(before),
        "seconds": {name: round(value, 1) for name, value in run.seconds.items()},
    }
    run.folder.finish(result)
    return result


def write_scores(folder: Path, scores: Mapping[str, float], facts: Mapping[str, Any]) -> None:
    """Write eval.json: the scores by name, then what is to be known of them."""
    kept = {name: value for name, value in facts.items() if value is not None}
    write_file(folder / EVALUATION, json.dumps({**rounded(scores), **kept}, indent=2) + "\n")


def _story(
    run: Concluded,
    name: str,
    metrics: Sequence[Mapping[str, Any]],
    scores: Mapping[str, float],
    before: Mapping[str, float],
) -> RunStory:
    config, network = run.config, run.network.config
    count = sum(p.size for p in run.network.get_parameters())
    model = {
        "source": config.model.source,
        "parameters": f"{count:,}",
        "layers, width, heads": f"{network.num_hidden_layers}, {network.hidden_size}, {network.num_attention_heads}",
        **({"licence": licence} if (licence := _licence(config)) else {}),
    }
    data = {
        "trained on": config.data.train_file,
        "training rows": f"{len(run.training.features):,} of {len(run.training.examples):,} examples",
    }
    if run.evaluator is not None:
        prepared = run.evaluator.prepared
        data["evaluated on"] = config.data.eval_file
        data["evaluation rows"] = f"{len(prepared.features):,} of {len(prepared.examples):,} examples"
    setting = {
        "steps": run.outcome.step,
        "weights of step": run.outcome.step if run.outcome.best_step is None else run.outcome.best_step,
        "batch": config.training.batch_size * config.training.accumulate * run.workers,
        "optimiser": config.optimizer.name,
        "learning rate": config.optimizer.learning_rate,
        "precision": config.precision.dtype,
        "seed": config.seed,
        "device": f"{run.device}, {run.workers} worker{'s' if run.workers > 1 else ''}",
    }
    return RunStory(
        name=name,
        task=config.task,
        command=command_line(),
        model=model,
        data=data,
        setting=setting,
        machine=machine_facts(),
        config_yaml=to_yaml(config),
        metrics=metrics,
        seconds=run.seconds,
        main_metric=config.training.metric or "f1",
        scores=scores,
        scores_before=before,
        questions=_questions(run.evaluator),
    )


def _questions(evaluator: Evaluator | None) -> Sequence[Any]:
    if evaluator is None or not all(isinstance(p, QuestionPrediction) for p in evaluator.predictions):
        return ()
    return score_each(evaluator.prepared.examples, evaluator.predictions)  # type: ignore[arg-type]


def _licence(config: RunConfig) -> str:
    known = catalogue.models().get(config.model.source)
    return known.licence if known is not None else ""


def command_line() -> str:
    """What was typed, as far as it can be told."""
    program = os.path.basename(sys.argv[0])
    return shlex.join([program if program != "__main__.py" else "bert-ms", *sys.argv[1:]])
