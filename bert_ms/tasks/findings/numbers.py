"""What there is to show of texts with a number each (regression)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bert_ms.records import LabelPrediction, TextExample
from bert_ms.tasks.findings.choosing import evenly, matched, passages
from bert_ms.tasks.findings.kinds import ChartFinding, Exhibit, Finding, GalleryFinding, Row, Series, TableFinding
from bert_ms.tasks.findings.labels import TO_LOOK_AT, Pair

SECTION = "Predicted against gold"
_MOST_DOTS, _BINS, _BANDS, _MOST_TEXTS = 1500, 21, 5, 6


def findings(examples: Sequence[TextExample], predictions: Sequence[LabelPrediction]) -> list[Finding]:
    """Predicted against gold numbers, how errors are spread, where they are largest, the worst of them.

    Args:
        examples: those whose number is not known are left out.
        predictions: a number each; those of a network that diverged, which are none, are left out.
    """
    pairs = [pair for pair in matched(examples, predictions, "label") if math.isfinite(_number(pair[1].label))]
    if not pairs:
        return []
    gold = np.array([_number(example.label) for example, _ in pairs])
    predicted = np.array([_number(prediction.label) for _, prediction in pairs])
    charts = [_scatter(gold, predicted), _spread(predicted - gold)]
    return [*charts, _bands(gold, predicted), _worst(pairs, gold, predicted)]


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _scatter(gold: np.ndarray, predicted: np.ndarray) -> ChartFinding:
    dots = evenly(list(zip(gold.tolist(), predicted.tolist(), strict=True)), _MOST_DOTS)
    shown = "" if len(dots) == len(gold) else f" {len(dots):,} of {len(gold):,} texts."
    return ChartFinding(
        title="Predicted against gold",
        note=f"On the dashed line the number is right.{shown}",
        section=SECTION,
        series=[Series(name="", points=sorted(dots), style="dots")],
        x_name="gold",
        y_name="predicted",
        has_diagonal=True,
    )


def _spread(errors: np.ndarray) -> ChartFinding:
    """A histogram around 0, its ends holding whatever is farther out than 99 in 100 errors."""
    reach = max(float(np.quantile(np.abs(errors), 0.99)), 1e-6)
    counts, borders = np.histogram(np.clip(errors, -reach, reach), bins=_BINS, range=(-reach, reach))
    width = float(borders[1] - borders[0])
    return ChartFinding(
        title="Errors",
        note=(
            f"Predicted minus gold: {errors.mean():+.3g} on average, {np.abs(errors).mean():.3g} away from gold on "
            f"average, {np.median(np.abs(errors)):.3g} in half of all texts."
        ),
        section=SECTION,
        series=[
            Series(
                name="",
                points=[(float(low) + width / 2, float(count)) for low, count in zip(borders, counts, strict=False)],
                style="bars",
                width=width,
            )
        ],
        x_name="predicted minus gold",
        y_name="texts",
    )


def _bands(gold: np.ndarray, predicted: np.ndarray) -> TableFinding:
    """Errors by gold number, in bands of equal width."""
    borders = np.linspace(gold.min(), gold.max(), _BANDS + 1)
    place = np.clip(np.searchsorted(borders, gold, side="right") - 1, 0, _BANDS - 1)
    rows: list[Row] = []
    for band in sorted(set(place.tolist())):
        errors = (predicted - gold)[place == band]
        name = f"{borders[band]:.3g} to {borders[band + 1]:.3g}"
        rows.append([name, len(errors), f"{errors.mean():+.3g}".replace("-", "−"), f"{np.abs(errors).mean():.3g}"])
    return TableFinding(
        title="By gold number", section=SECTION, columns=["Gold", "Texts", "Mean error", "Mean distance"], rows=rows
    )


def _worst(pairs: Sequence[Pair], gold: np.ndarray, predicted: np.ndarray) -> GalleryFinding:
    order = np.argsort(-np.abs(predicted - gold), kind="stable")[:_MOST_TEXTS]
    exhibits = [
        Exhibit(
            origin=pairs[at][0].id,
            passages=passages(pairs[at][0].text, pairs[at][0].pair),
            facts=[("Gold", f"{gold[at]:.4g}"), ("Predicted", f"{predicted[at]:.4g}")],
            badges=[f"error {predicted[at] - gold[at]:+.3g}".replace("-", "−")],
        )
        for at in order
    ]
    note = "The numbers farthest from gold; look for wrong gold numbers."
    return GalleryFinding(title="Worst errors", note=note, section=TO_LOOK_AT, exhibits=exhibits, count=len(gold))
