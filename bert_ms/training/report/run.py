"""What is told of a run, by its report and by its model card."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bert_ms.tasks.findings import Finding

_PACKAGES = ("bert_ms", "mindspore", "numpy", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class RunStory:
    """A run, told.

    Attributes:
        name: heading, for example "minilm on SQuAD v1.1".
        task: of the tasks table.
        command: that started it, as one types it.
        model: facts about the network and where its weights come from: source, parameters, layers, licence, ...
        data: facts about the data: files, rows, licence, ...
        setting: facts about the training: seed, batch size, learning rate, precision, device, workers, ...; empty where
            nothing was trained.
        machine: facts about the machine; see `machine_facts`.
        config_yaml: the resolved configuration.
        metrics: lines of metrics.jsonl.
        seconds: where the time went, by name: training, compiling, evaluating, saving, ...
        main_metric: name of the score that counts.
        scores: of the best checkpoint; empty where nothing was evaluated.
        scores_before: of the weights as they came; empty where they were not scored.
        findings: what the task has to show of its predictions.
    """

    name: str
    task: str = ""
    command: str = ""
    model: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    setting: Mapping[str, object] = field(default_factory=dict)
    machine: Mapping[str, object] = field(default_factory=dict)
    config_yaml: str = ""
    metrics: Sequence[Mapping[str, Any]] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    main_metric: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    scores_before: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


def machine_facts() -> dict[str, str]:
    """Processor, memory, system and versions of this machine, without importing MindSpore."""
    facts = {
        "processor": f"{_processor()}, {_cores()} cores",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {name: value for name, value in facts.items() if value}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return ""
    return f"{size / 2**30:.1f} GiB"
