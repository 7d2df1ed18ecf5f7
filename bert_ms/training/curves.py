"""What a run's metrics look like over its steps: points to draw, thinned and smoothed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bert_ms.training.metrics_log import EVAL, TRAIN

Points = list[tuple[float, float]]

_MOST_POINTS = 400
_SMOOTHING_WINDOWS = 15


def points(metrics: Sequence[Mapping[str, Any]], kind: str, name: str) -> Points:
    """(step, value) of every line of this kind that has a number of this name."""
    found = ((line["step"], line.get(name)) for line in metrics if line.get("kind") == kind)
    return [(float(step), float(value)) for step, value in found if isinstance(value, int | float)]


def train_points(metrics: Sequence[Mapping[str, Any]], name: str) -> Points:
    """(step, value) of a training measurement, thinned to what a chart can show."""
    return thin(points(metrics, TRAIN, name))


def score_points(metrics: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Points]:
    """(step, value) of evaluation scores by name; names that were never measured are left out."""
    found = {name: points(metrics, EVAL, name) for name in names}
    return {name: values for name, values in found.items() if values}


def thin(values: Points) -> Points:
    """Means of equal runs of points, at most 400."""
    size = -(-len(values) // _MOST_POINTS)
    if size <= 1:
        return values
    groups = [values[at : at + size] for at in range(0, len(values), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def smooth(values: Points) -> Points:
    """Means over a centred window, a fifteenth of the run wide, so that the curve does not lag behind."""
    reach = len(values) // (2 * _SMOOTHING_WINDOWS)
    result = []
    for index, (x, _) in enumerate(values):
        near = [y for _, y in values[max(index - reach, 0) : index + reach + 1]]
        result.append((x, sum(near) / len(near)))
    return result
