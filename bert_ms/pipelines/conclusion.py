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
from bert_ms.hub import catalogue, publish
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.records import QuestionPrediction
from bert_ms.tasks.work import Prepared
from bert_ms.training.files import write_file
from bert_ms.training.folder import RunFolder
from bert_ms.training.metrics_log import METRICS, read_metrics
from bert_ms.training.report import RunStory, card_body, score_each, tell, write_documents
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
    story = _story(run, scores, before)
    write_documents(folder, story)
    publish.publish(
        run.network,
        folder,
        name=publish.named(folder.resolve().name, otherwise=run.config.task),
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


def _story(run: Concluded, scores: Mapping[str, float], before: Mapping[str, float]) -> RunStory:
    config, network = run.config, run.network.config
    count = sum(parameter.size for parameter in run.network.get_parameters())
    model = {
        "parameters": f"{count:,}",
        "layers, width, heads": f"{network.num_hidden_layers}, {network.hidden_size}, {network.num_attention_heads}",
    }
    if licence := _licence(config):
        model["licence"] = licence
    data = {"training rows": _rows(run.training)}
    if run.evaluator is not None:
        data["evaluation rows"] = _rows(run.evaluator.prepared)
    setting: dict[str, object] = {"steps": run.outcome.step}
    if run.outcome.best_step is not None:
        setting["weights"] = f"those after step {run.outcome.best_step}, the best"
    return tell(
        config,
        device=run.device,
        command=command_line(),
        workers=run.workers,
        model=model,
        data=data,
        setting=setting,
        metrics=read_metrics(run.folder.path / METRICS),
        seconds=run.seconds,
        main_metric=config.training.metric or "f1",
        scores=scores,
        scores_before=before,
        questions=_questions(run.evaluator, config.evaluation.language),
    )


def _rows(prepared: Prepared) -> str:
    return f"{len(prepared.rows.lengths()):,} of {len(prepared.examples):,} examples"


def _questions(evaluator: Evaluator | None, language: str) -> Sequence[Any]:
    if evaluator is None or not all(isinstance(p, QuestionPrediction) for p in evaluator.predictions):
        return ()
    return score_each(evaluator.prepared.examples, evaluator.predictions, language=language)  # type: ignore[arg-type]


def _licence(config: RunConfig) -> str:
    known = catalogue.models().get(config.model.source)
    return known.licence if known is not None else ""


def command_line() -> str:
    """What was typed, as far as it can be told."""
    program = os.path.basename(sys.argv[0])
    return shlex.join([program if program != "__main__.py" else "bert-ms", *sys.argv[1:]])
