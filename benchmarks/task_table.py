"""The table of the task comparison, from the results of both sides."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.real_data import TASKS, RealTask

SIDES = ("peer", "ours")
Results = list[dict[str, Any]]


def table(results: Results) -> str:
    """Scores of both sides after the last epoch as Markdown, seed by seed, then the settings and the versions."""
    present = [name for name in TASKS if any(r["task"] == name for r in results)]
    lines = [
        "# Fine-tuning MiniLM on real data",
        "",
        "Ours beside PyTorch with Transformers, with the same rows and the same settings (below). Scores in percent "
        "after the last epoch; no side chooses a checkpoint by the rows that it is scored on. Spread: from the least "
        "to the greatest of the seeds. Speed is not compared here: the runs shared their machine.",
        "",
        "`python benchmarks/tasks.py --data DIR --work DIR`",
        "",
        "| data | score | seeds | peer: mean (spread) | ours: mean (spread) | ours - peer | in the peer's spread |",
        "|---|---|---|---|---|---|---|",
        *(_summary(name, results) for name in present),
        "",
        "## Seed by seed",
        "",
        "| data | seed | peer | ours | mean training loss of each epoch: peer | ours |",
        "|---|---|---|---|---|---|",
        *(line for name in present for line in _seeds(name, results)),
        "",
        "## Settings",
        "",
        "AdamW (decay 0.01 without biases and LayerNorm, eps 1e-6), gradients clipped to norm 1, linear decay after "
        "10 % warm-up, dropout 0.1, float32; the classifier is new. Rows of similar length share a batch on both "
        "sides. Held out: the last rows of `numpy.random.default_rng(0).permutation`, see `real_data.py`; where "
        "SST-2's phrases are held out so, parts of the same sentence may be among those trained on.",
        "",
        "| data | configuration | rows to train on | to evaluate on | epochs | batch | learning rate | max_length |",
        "|---|---|---|---|---|---|---|---|",
        *(_settings(name, results) for name in present),
        "",
        *_versions(results),
        "",
    ]
    return "\n".join(lines)


def scores(results: Results, side: str, name: str) -> dict[int, float]:
    """The compared score after the last epoch, by seed."""
    metric = TASKS[name].metric
    return {r["seed"]: r["epochs"][-1][metric] for r in results if r["side"] == side and r["task"] == name}


def _summary(name: str, results: Results) -> str:
    task = TASKS[name]
    peer, ours = (scores(results, side, name) for side in SIDES)
    seeds = sorted(set(peer) & set(ours)) or sorted(set(peer) | set(ours))
    cells = [task.title, task.metric, ", ".join(map(str, seeds)), _spread(peer), _spread(ours), "", ""]
    if peer and ours:
        difference = statistics.mean(ours.values()) - statistics.mean(peer.values())
        cells[5:] = [f"{difference:+.2f}", _verdict(peer, ours)]
    return _row(cells)


def _spread(by_seed: dict[int, float]) -> str:
    values = list(by_seed.values())
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _verdict(peer: dict[int, float], ours: dict[int, float]) -> str:
    """Whether our mean lies among the peer's seeds."""
    if len(peer) < 2:
        return "one seed"
    mean, low, high = statistics.mean(ours.values()), min(peer.values()), max(peer.values())
    if low <= mean <= high:
        return "yes"
    return f"no: {low - mean:.2f} below" if mean < low else f"no: {mean - high:.2f} above"


def _seeds(name: str, results: Results) -> list[str]:
    found = {(r["side"], r["seed"]): r for r in results if r["task"] == name}
    lines = []
    for seed in sorted({seed for _, seed in found}):
        sides = [found.get((side, seed)) for side in SIDES]
        told = [_all_scores(TASKS[name], side["epochs"][-1]) if side else "" for side in sides]
        losses = [", ".join(f"{loss:.3f}" for loss in side["losses"]) if side else "" for side in sides]
        lines.append(_row([TASKS[name].title, str(seed), *told, *losses]))
    return lines


def _all_scores(task: RealTask, values: dict[str, float]) -> str:
    """The compared score first, then the others that belong to the data."""
    others = {"f1": ("accuracy",), "pearson": ("spearman",)}
    if task.kind == "tokens":
        others = {"f1": ("precision", "recall")}
    names = (task.metric, *others.get(task.metric, ()))
    return ", ".join(f"{name} {values[name]:.2f}" for name in names if name in values)


def _settings(name: str, results: Results) -> str:
    task = TASKS[name]
    train, dev = next(r["rows"] for r in results if r["task"] == name)
    where = "the data's own file" if task.dev_file else "held out"
    cells = [task.title, f"`{task.config}`", f"{train:,}", f"{dev:,}, {where}", task.epochs, task.batch_size,
             f"{task.learning_rate:g}", task.max_length]  # fmt: skip
    return _row([str(cell) for cell in cells])


def _versions(results: Results) -> list[str]:
    lines = []
    for side, title in (("peer", "Peer"), ("ours", "Ours")):
        versions = sorted({f"{r['versions']}, {r['threads']} thread{'s' * (r['threads'] > 1)}"
                           for r in results if r["side"] == side})  # fmt: skip
        lines += [f"{title}: {'; '.join(versions)}."] if versions else []
    return lines


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
