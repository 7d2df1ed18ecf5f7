"""Charts of probabilities, for any task that gives some: precision over recall, and calibration."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bert_ms.metrics.calibration import reliability
from bert_ms.metrics.curves import average_precision, precision_recall, roc_auc
from bert_ms.tasks.findings.kinds import ChartFinding, Series

SECTION = "Probabilities"
_MOST_POINTS = 160


def precision_recall_chart(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> ChartFinding:
    """Precision against recall as the threshold falls.

    Args:
        curves: by name for the legend: (is_true bool [N], probabilities [N]).
    """
    note = "From left to right the threshold falls: more is found, and more of it is wrong. AP: average precision."
    if len(curves) == 1:
        truth, scores = next(iter(curves.values()))
        area = roc_auc(truth, scores)
        note += "" if np.isnan(area) else f" Area under the ROC curve: {area:.3f}."
    return ChartFinding(
        title="Precision and recall",
        note=note,
        section=SECTION,
        series=[
            Series(name=f"{name} (AP {average_precision(*curve):.3f})", points=_points(*curve))
            for name, curve in curves.items()
        ],
        x_name="recall",
        y_name="precision",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def calibration_chart(probabilities: np.ndarray, is_right: np.ndarray, *, of: str) -> ChartFinding:
    """How often an answer is right, by its probability.

    Args:
        probabilities: float [N], 0 to 1, of the answers given.
        is_right: bool [N].
        of: what is counted, for the note: "texts", "questions", ...
    """
    found = reliability(probabilities, is_right)
    width = 1.0 / len(found.low)
    filled = [place for place, count in enumerate(found.counts) if count]
    return ChartFinding(
        title="Calibration",
        note=(
            f"Bars on the dashed line are probabilities that can be taken at their word; lower ones are too confident. "
            f"Numbers above the bars count {of}. Expected calibration error: {100 * found.error:.1f} %."
        ),
        section=SECTION,
        series=[
            Series(
                name="",
                points=[(float(found.low[place]) + width / 2, float(found.accuracy[place])) for place in filled],
                style="bars",
                width=width,
                labels=[f"{found.counts[place]:,}" for place in filled],
            )
        ],
        x_name="probability of the answer",
        y_name="part that is right",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        has_diagonal=True,
    )


def _points(is_true: np.ndarray, scores: np.ndarray) -> list[tuple[float, float]]:
    """The curve, with no more points than can be told apart."""
    curve = precision_recall(is_true, scores)
    if not len(curve.recall):
        return []
    places = np.searchsorted(curve.recall, np.linspace(0.0, curve.recall[-1], _MOST_POINTS))
    places = np.unique(np.minimum(places, len(curve.recall) - 1))
    return [(round(float(curve.recall[at]), 4), round(float(curve.precision[at]), 4)) for at in places]
