"""loss.png: training loss, learning rate and evaluation scores of a run in one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.compat import require
from bert_ms.training.curves import score_points, smooth, train_points
from bert_ms.training.files import write_file

LOSS_PLOT = "loss.png"
_BLUE, _ORANGE, _GREEN, _GREY = "#2563eb", "#c2570c", "#15803d", "#6b7280"


def write_loss_plot(
    metrics: Sequence[Mapping[str, Any]],
    path: str | Path,
    *,
    title: str = "",
    scores: Sequence[str] = (),
) -> Path:
    """Draw a run's curves.

    Args:
        metrics: lines of metrics.jsonl.
        path: of the PNG file.
        title: above the picture.
        scores: names of evaluation scores to draw, those that were measured.

    Raises:
        DependencyError: matplotlib is not installed.
        TrainingError: the file cannot be written.
    """
    figure_class = require("matplotlib.figure", purpose="draw loss.png").Figure
    evaluated = score_points(metrics, scores)
    figure = figure_class(figsize=(8, 6.5 if evaluated else 4.5), dpi=130, layout="constrained")
    rows = figure.subplots(2 if evaluated else 1, 1, sharex=True, squeeze=False)[:, 0]
    _draw_loss(rows[0], metrics)
    if evaluated:
        for (name, values), colour in zip(evaluated.items(), (_GREEN, _ORANGE, _BLUE, _GREY), strict=False):
            rows[1].plot(
                *zip(*values, strict=True), marker="o", markersize=4, color=colour, label=name.replace("_", " ")
            )
        rows[1].set_ylabel("score")
        rows[1].legend(frameon=False, loc="lower right")
    rows[-1].set_xlabel("optimiser step")
    for axes in rows:
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "bert_ms"})
    return write_file(path, buffer.getvalue())


def _draw_loss(axes: Any, metrics: Sequence[Mapping[str, Any]]) -> None:
    """The raw loss faintly, the smoothed one over it, the learning rate on an axis of its own."""
    losses, rates = train_points(metrics, "loss"), train_points(metrics, "learning_rate")
    if losses:
        axes.plot(*zip(*losses, strict=True), color=_BLUE, alpha=0.25, linewidth=1)
        axes.plot(*zip(*smooth(losses), strict=True), color=_BLUE, linewidth=2, label="training loss, smoothed")
        axes.legend(frameon=False, loc="upper right")
        axes.set_ylim(bottom=min(0, min(y for _, y in losses)))
    else:
        axes.text(0.5, 0.5, "no training step was logged", ha="center", va="center", transform=axes.transAxes)
    axes.set_ylabel("loss")
    if rates:
        other = axes.twinx()
        other.plot(*zip(*rates, strict=True), color=_GREY, linewidth=1, linestyle="--")
        other.set_ylabel("learning rate (dashed)", color=_GREY)
        other.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        other.set_ylim(bottom=0)
        other.spines["top"].set_visible(False)
