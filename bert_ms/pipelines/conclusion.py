"""What a finished run leaves in its folder: scores, predictions, plots, the report, and the model with its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.config import RunConfig
from bert_ms.hub import adapters, publish
from bert_ms.pipelines.evaluator import Evaluator, rounded
from bert_ms.pipelines.story import licence, story_of_training
from bert_ms.tasks.work import Prepared
from bert_ms.training.files import write_file
from bert_ms.training.folder import ADAPTER, RunFolder
from bert_ms.training.report import card_body, write_documents
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
        learning: numbers in the network that training changed.
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
    learning: int
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
    story = story_of_training(run, scores, before)
    write_documents(folder, story)
    if run.config.lora.rank > 0:
        adapters.save_adapter(run.network, folder / ADAPTER, base=run.config.model.source)
        adapters.merge_adapter(run.network)
    publish.publish(
        run.network,
        folder,
        name=publish.named(folder.resolve().name, otherwise=run.config.task),
        body=card_body(story),
        summary=f"BERT for {run.config.task} on MindSpore",
        evaluation=scores,
        licence=licence(run.config) or "Apache2.0",
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
