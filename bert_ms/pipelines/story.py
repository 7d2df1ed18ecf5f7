"""What there is to tell of a run: its network, its data, its settings, its scores and what they come from."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bert_ms import tasks
from bert_ms.config import BertConfig, RunConfig
from bert_ms.hub import catalogue
from bert_ms.pipelines.evaluator import Evaluator
from bert_ms.pipelines.runners import count_parameters
from bert_ms.tasks.findings import Finding
from bert_ms.tasks.work import Prepared
from bert_ms.training.metrics_log import METRICS, read_metrics
from bert_ms.training.report import RunStory, tell, tell_evaluation

if TYPE_CHECKING:
    from bert_ms.pipelines.conclusion import Concluded

_MOST_LABELS = 12
# What ran a network, for people.
BACKENDS = {"cell": "MindSpore", "onnx": "ONNX Runtime, exported as ONNX", "mindir": "MindSpore, exported as MINDIR"}


def story_of_training(run: Concluded, scores: Mapping[str, float], before: Mapping[str, float]) -> RunStory:
    """Of a finished training run.

    Args:
        run: all that is known of it.
        scores: of the weights to publish; empty where nothing was evaluated.
        before: of the weights as they came.
    """
    data = {"training rows": _rows(run.training)}
    prepared = [run.training]
    if run.evaluator is not None:
        data["evaluation rows"] = _rows(run.evaluator.prepared)
        prepared.append(run.evaluator.prepared)
    setting: dict[str, object] = {"steps": run.outcome.step}
    if run.outcome.best_step is not None:
        setting["weights"] = f"those after step {run.outcome.best_step}, the best"
    return tell(
        run.config,
        device=run.device,
        command=command_line(),
        workers=run.workers,
        model={
            **_network_facts(run.config, run.network.config, {"parameters": f"{count_parameters(run.network):,}"}),
            "learning parameters": f"{run.learning:,}",
        },
        data=data,
        setting=setting,
        metrics=read_metrics(run.folder.path / METRICS),
        seconds=run.seconds,
        main_metric=run.config.training.metric or "",
        scores=scores,
        scores_before=before,
        findings=[] if run.evaluator is None else findings_of(run.evaluator),
        has_windows=_has_windows(run.config, *prepared),
    )


def story_of_evaluation(
    config: RunConfig,
    evaluator: Evaluator,
    scores: Mapping[str, float],
    *,
    device: str,
    seconds: Mapping[str, float],
) -> RunStory:
    """Of weights that were scored, and not trained.

    Args:
        config: of the run.
        evaluator: holding the predictions, and what made them.
        scores: of them.
        device: that it ran on.
        seconds: where the time went.
    """
    return tell_evaluation(
        config,
        device=device,
        command=command_line(),
        workers=evaluator.distributed.size,
        model=_network_facts(config, evaluator.runner.config, evaluator.runner.facts()),
        data={"evaluation rows": _rows(evaluator.prepared)},
        setting={"backend": BACKENDS[evaluator.runner.format], "precision": evaluator.runner.precision},
        seconds=seconds,
        main_metric=config.training.metric or evaluator.work.metric(config) or evaluator.task.metric or "",
        scores=scores,
        findings=findings_of(evaluator),
        has_windows=_has_windows(config, evaluator.prepared),
    )


def findings_of(evaluator: Evaluator) -> Sequence[Finding]:
    """What the task has to show of the predictions."""
    return evaluator.work.findings(evaluator.prepared, evaluator.predictions)


def licence(config: RunConfig) -> str:
    """Of the weights that a run began with, where it is known."""
    known = catalogue.models().get(config.model.source)
    return known.licence if known is not None else ""


def command_line() -> str:
    """What was typed, as far as it can be told."""
    program = os.path.basename(sys.argv[0])
    return shlex.join([program if program != "__main__.py" else "bert-ms", *sys.argv[1:]])


def _network_facts(config: RunConfig, shape: BertConfig, size: Mapping[str, object]) -> dict[str, object]:
    facts: dict[str, object] = {
        **size,
        "layers, width, heads": f"{shape.num_hidden_layers}, {shape.hidden_size}, {shape.num_attention_heads}",
    }
    if labels := tuple(shape.labels or ()):
        more = f", ... ({len(labels):,} in all)" if len(labels) > _MOST_LABELS else ""
        facts["labels"] = ", ".join(map(str, labels[:_MOST_LABELS])) + more
    if known := licence(config):
        facts["licence"] = known
    return facts


def _rows(prepared: Prepared) -> str:
    rows, examples = len(prepared.rows.lengths()), len(prepared.examples)
    return f"{rows:,}" if rows == examples else f"{rows:,}, of {examples:,} examples"


def _has_windows(config: RunConfig, *prepared: Prepared) -> bool:
    """Some example did not fit into one row."""
    reads_windows = tasks.get(config.task).load("work").reads_windows()
    return reads_windows and any(len(each.rows.lengths()) > len(each.examples) for each in prepared)
