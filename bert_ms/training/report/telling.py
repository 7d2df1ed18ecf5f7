"""Telling a run from its configuration and results, and leaving report.html with its files in a folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.config import DataConfig, RunConfig
from bert_ms.config.loading import to_yaml
from bert_ms.errors import DependencyError
from bert_ms.tasks.findings import Finding, as_json
from bert_ms.training.curves import score_points
from bert_ms.training.files import write_file
from bert_ms.training.plots import LOSS_PLOT, write_loss_plot
from bert_ms.training.report.page import REPORT, write_report
from bert_ms.training.report.run import RunStory, machine_facts
from bert_ms.training.report.scores import distinct, evaluated, ordered, unit_of

_log = logging.getLogger(__name__)

FINDINGS = "findings.json"
_PARTS = ("train", "training", "dev", "valid", "validation", "test")
_ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".ckpt", ".safetensors")


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
    main_metric: str = "",
    scores: Mapping[str, float] | None = None,
    scores_before: Mapping[str, float] | None = None,
    findings: Sequence[Finding] = (),
    has_windows: bool = False,
) -> RunStory:
    """A run's story; what the configuration says is filled in, the rest is given.

    Args:
        config: the resolved configuration.
        device: that was used: cpu, gpu or ascend.
        command: as one types it.
        workers: devices that trained together.
        model: more facts about the network: parameters, layers, licence, newly initialised parts, ...
        data: more facts about the data: numbers of examples and rows, licence, ...
        setting: more facts about the training: steps, best step, ...
        metrics: lines of metrics.jsonl.
        seconds: where the time went.
        main_metric: name of the score that counts; one that was not measured gives way to the first that was.
        scores: of the best checkpoint.
        scores_before: of the weights as they came.
        findings: of the predictions of the best checkpoint.
        has_windows: long texts are read in several rows.
    """
    files = {"training": config.data.train_file, "evaluation": config.data.eval_file}
    return RunStory(
        name=_name(config, config.data.train_file or config.data.eval_file),
        task=config.task,
        command=command,
        model={"source": config.model.source, **(model or {})},
        data={**_data_facts(config.data, files, has_windows=has_windows), **(data or {})},
        setting={**_setting_facts(config, device, workers), **(setting or {})},
        machine=machine_facts(),
        config_yaml=to_yaml(config),
        metrics=metrics,
        seconds=seconds or {},
        main_metric=_measured(main_metric, scores or {}),
        scores=scores or {},
        scores_before=scores_before or {},
        findings=findings,
    )


def tell_evaluation(
    config: RunConfig,
    *,
    device: str,
    command: str = "",
    workers: int = 1,
    model: Mapping[str, object] | None = None,
    data: Mapping[str, object] | None = None,
    setting: Mapping[str, object] | None = None,
    seconds: Mapping[str, float] | None = None,
    main_metric: str = "",
    scores: Mapping[str, float],
    findings: Sequence[Finding] = (),
    has_windows: bool = False,
) -> RunStory:
    """The story of weights that were scored on `data.eval_file` and not trained; arguments as of `tell`."""
    return RunStory(
        name=_name(config, config.data.eval_file),
        task=config.task,
        command=command,
        model={"source": config.model.source, **(model or {})},
        data={
            **_data_facts(config.data, {"evaluation": config.data.eval_file}, has_windows=has_windows),
            **(data or {}),
            "device": device if workers == 1 else f"{workers} x {device}",
            "precision": config.precision.dtype,
            **(setting or {}),
        },
        machine=machine_facts(),
        config_yaml=to_yaml(config),
        seconds=seconds or {},
        main_metric=_measured(main_metric, scores),
        scores=scores,
        findings=findings,
    )


def write_documents(folder: str | Path, story: RunStory) -> list[Path]:
    """Write report.html into a folder, findings.json where there are some, and loss.png where something was trained.

    Without matplotlib there is no loss.png, and a warning says so; the report draws its curves itself.

    Raises:
        TrainingError: a file cannot be written.
    """
    place = Path(folder)
    written = [write_report(place / REPORT, story)]
    if story.findings:
        content = json.dumps(as_json(story.findings), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        written.append(write_file(place / FINDINGS, content + "\n"))
    if story.metrics:
        try:
            scores = _plotted(story)
            written.append(write_loss_plot(story.metrics, place / LOSS_PLOT, title=story.name, scores=scores))
        except DependencyError as error:
            _log.warning("no %s: %s", LOSS_PLOT, error)
    return written


def _plotted(story: RunStory) -> list[str]:
    """The scores in the main one's unit, no more than can be told apart."""
    names = ordered(evaluated(story.metrics), story.main_metric)
    names = distinct(names, lambda name: score_points(story.metrics, [name]).get(name))
    return [name for name in names if unit_of(name) == unit_of(story.main_metric)][:4]


def _measured(main: str, scores: Mapping[str, float]) -> str:
    return main if main in scores or not scores else next(iter(scores))


def _name(config: RunConfig, file: str | None) -> str:
    """The model and the data; a file that is called what every training file is called, by its folder."""
    data = _short(file or "no data")
    if data.lower() in _PARTS and Path(file or "").parent.name:
        data = Path(file or "").parent.name
    return f"{_short(config.model.source)} on {config.data.dataset or data}"


def _data_facts(data: DataConfig, files: Mapping[str, str | None], *, has_windows: bool) -> dict[str, object]:
    facts: dict[str, object] = {"data set": data.dataset} if data.dataset else {}
    facts |= {name: file for name, file in files.items() if file}
    if has_windows:
        meaning = "shared by two windows" if data.windows == "overlap" else "from one window's start to the next"
        facts["windows"] = f"{data.max_length} tokens at most, {data.stride} {meaning}"
    else:
        facts["length"] = f"{data.max_length} tokens at most"
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
        **_objective_facts(config),
        "precision": precision.dtype,
        "seed": config.seed,
        "device": device,
    }


def _objective_facts(config: RunConfig) -> dict[str, object]:
    """What is minimised beside the plain loss, where something is."""
    loss, twice, lora = config.loss, config.regularization, config.lora
    parts = [f"label smoothing {loss.label_smoothing:g}"] if loss.label_smoothing else []
    parts += [f"focal, gamma {loss.focal_gamma:g}"] if loss.focal_gamma else []
    if loss.class_weights is not None:
        weights = loss.class_weights
        parts.append(f"class weights {weights if isinstance(weights, str) else ', '.join(f'{w:g}' for w in weights)}")
    parts += [f"FGM, epsilon {twice.fgm_epsilon:g}"] if twice.fgm_epsilon else []
    parts += [f"R-Drop, alpha {twice.r_drop_alpha:g}"] if twice.r_drop_alpha else []
    facts: dict[str, object] = {"loss": "; ".join(parts)} if parts else {}
    return facts | ({"LoRA": f"rank {lora.rank}, alpha {lora.lora_alpha:g}"} if lora.rank else {})


def _short(source: str) -> str:
    """The last part of a path, without what follows from the format; a name as it is."""
    name = Path(source).name or source
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name
