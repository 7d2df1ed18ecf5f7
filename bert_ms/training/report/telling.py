"""Telling a run from its configuration and results, and leaving report.html and loss.png in its folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.config import DataConfig, RunConfig
from bert_ms.config.loading import to_yaml
from bert_ms.errors import DependencyError
from bert_ms.training.plots import LOSS_PLOT, write_loss_plot
from bert_ms.training.report.page import REPORT, write_report
from bert_ms.training.report.questions import ScoredQuestion
from bert_ms.training.report.run import RunStory, machine_facts

_log = logging.getLogger(__name__)


def tell(
    config: RunConfig,
    *,
    device: str,
    command: str = "",
    workers: int = 1,
    model: Mapping[str, object] | None = None,
    data: Mapping[str, object] | None = None,
    setting: Mapping[str, object] | None = None,
    metrics: Sequence[Mapping[str, Any]] = (),
    seconds: Mapping[str, float] | None = None,
    main_metric: str = "f1",
    scores: Mapping[str, float] | None = None,
    scores_before: Mapping[str, float] | None = None,
    questions: Sequence[ScoredQuestion] = (),
) -> RunStory:
    """A run's story; what the configuration says is filled in, the rest is given.

    Args:
        config: the resolved configuration.
        device: that was used: cpu, gpu or ascend.
        command: as one types it.
        workers: devices that trained together.
        model: more facts about the network: parameters, layers, licence, newly initialised parts, ...
        data: more facts about the data: numbers of questions and windows, licence, ...
        setting: more facts about the training: steps, best step, ...
        metrics: lines of metrics.jsonl.
        seconds: where the time went.
        main_metric: name of the score that counts.
        scores: of the best checkpoint.
        scores_before: of the weights as they came.
        questions: asked, predicted and scored.
    """
    return RunStory(
        name=f"{_short(config.model.source)} on {_short(config.data.train_file or config.data.eval_file or 'no data')}",
        task=config.task,
        command=command,
        model={"source": config.model.source, **(model or {})},
        data={**_data_facts(config.data), **(data or {})},
        setting={**_setting_facts(config, device, workers), **(setting or {})},
        machine=machine_facts(),
        config_yaml=to_yaml(config),
        metrics=metrics,
        seconds=seconds or {},
        main_metric=main_metric,
        scores=scores or {},
        scores_before=scores_before or {},
        questions=questions,
    )


def write_documents(folder: str | Path, story: RunStory) -> list[Path]:
    """Write report.html and loss.png into a run folder.

    Without matplotlib there is no loss.png, and a warning says so; the report draws its curves itself.

    Raises:
        TrainingError: a file cannot be written.
    """
    written = [write_report(Path(folder) / REPORT, story)]
    scores = list(dict.fromkeys([story.main_metric, "f1", "exact_match"]))
    try:
        written.append(write_loss_plot(story.metrics, Path(folder) / LOSS_PLOT, title=story.name, scores=scores))
    except DependencyError as error:
        _log.warning("no %s: %s", LOSS_PLOT, error)
    return written


def _data_facts(data: DataConfig) -> dict[str, object]:
    files = {"training": data.train_file, "evaluation": data.eval_file}
    facts: dict[str, object] = {name: file for name, file in files.items() if file}
    meaning = "shared by two windows" if data.windows == "overlap" else "from one window's start to the next"
    facts["windows"] = f"{data.max_length} tokens at most, {data.stride} {meaning}"
    return facts


def _setting_facts(config: RunConfig, device: str, workers: int) -> dict[str, object]:
    """The training's settings in the words of a paper."""
    training, optimizer, schedule, precision = config.training, config.optimizer, config.schedule, config.precision
    batch = training.batch_size * training.accumulate * workers
    parts = [f"{training.batch_size} rows a step"]
    parts += [f"{training.accumulate} steps accumulated"] if training.accumulate > 1 else []
    parts += [f"{workers} workers"] if workers > 1 else []
    warmup = f"{schedule.warmup_steps} steps" if schedule.warmup_steps is not None else f"{schedule.warmup_ratio:.0%}"
    clip = "none" if optimizer.max_grad_norm is None else f"global norm {optimizer.max_grad_norm:g}"
    return {
        "length": f"{training.max_steps} steps" if training.max_steps else f"{training.epochs:g} epochs",
        "batch": f"{batch} rows" + (f" ({' x '.join(parts)})" if len(parts) > 1 else ""),
        "optimiser": f"{optimizer.name}, weight decay {optimizer.weight_decay:g}, eps {optimizer.eps:g}",
        "learning rate": f"{optimizer.learning_rate:g}, warm-up {warmup}, then {schedule.name}",
        "gradient clipping": clip,
        "precision": precision.dtype,
        "seed": config.seed,
        "device": device,
    }


def _short(source: str) -> str:
    """The last part of a path, without what follows from the format; a name as it is."""
    name = Path(source).name or source
    return name.removesuffix(".json").removesuffix(".ckpt").removesuffix(".safetensors")
