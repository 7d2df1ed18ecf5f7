"""What there is to show of texts with one label each: which labels are confused, how sure, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.metrics.confusion import confused_pairs, confusion_matrix, label_scores
from bert_ms.records import LabelPrediction, TextExample
from bert_ms.tasks.findings.choosing import mark_of, matched, passages
from bert_ms.tasks.findings.kinds import ConfusionFinding, Exhibit, Finding, GalleryFinding, Row, Share, TableFinding
from bert_ms.tasks.findings.probabilities import calibration_chart, precision_recall_chart

Pair = tuple[TextExample, LabelPrediction]

BY_LABEL, TO_LOOK_AT = "By label", "Texts to look at"
MOST_IN_CARD = 30
_MANY_LABELS, _MOST_LABELS = 6, 100
_MOST_CURVES, _MOST_PAIRS, _MOST_TEXTS, _MOST_SHARES = 5, 12, 6, 4


def findings(
    examples: Sequence[TextExample], predictions: Sequence[LabelPrediction], labels: Sequence[str]
) -> list[Finding]:
    """Confusion, scores by label, precision and recall, calibration, mistakes.

    Args:
        examples: those whose label is not known are left out.
        predictions: with probabilities of all labels, or none.
        labels: in the network's order.
    """
    pairs = [p for p in matched(examples, predictions, "label") if p[0].label in labels and p[1].label in labels]
    if not pairs:
        return []
    number = {label: at for at, label in enumerate(labels)}
    gold = np.array([number[str(example.label)] for example, _ in pairs])
    predicted = np.array([number[str(prediction.label)] for _, prediction in pairs])
    counts = confusion_matrix(gold, predicted, len(labels))
    found = [*_confusion(counts, labels), _by_label(counts, labels)]
    if not all(len(prediction.probabilities) == len(labels) for _, prediction in pairs):
        return found
    probabilities = np.array([prediction.probabilities for _, prediction in pairs])
    return [*found, *_charts(gold, predicted, probabilities, labels), *_galleries(pairs, probabilities, labels)]


def shares(
    probabilities: Sequence[float], labels: Sequence[str], *, gold: Sequence[str], predicted: Sequence[str], most: int
) -> list[Share]:
    """The likeliest labels, and the gold and predicted ones wherever they stand, by falling probability."""
    order = sorted(range(len(labels)), key=lambda at: -probabilities[at])
    kept = [at for rank, at in enumerate(order) if rank < most or labels[at] in gold or labels[at] in predicted]
    return [
        Share(
            labels[at],
            float(probabilities[at]),
            mark_of(is_gold=labels[at] in gold, is_predicted=labels[at] in predicted),
        )
        for at in kept
    ]


def _confusion(counts: np.ndarray, labels: Sequence[str]) -> list[Finding]:
    found: list[Finding] = []
    if len(labels) <= _MOST_LABELS:
        note = "Rows are the gold labels, columns the predicted ones; the darker, the larger the part of its row."
        found.append(
            ConfusionFinding(
                title="Confusion matrix",
                note=note,
                section=BY_LABEL,
                rows=list(labels),
                columns=list(labels),
                counts=counts.tolist(),
            )
        )
    if len(labels) > _MANY_LABELS and (worst := confused_pairs(counts, _MOST_PAIRS)):
        rows: list[Row] = [
            [labels[gold], labels[other], times, 100 * times / int(counts[gold].sum())] for gold, other, times in worst
        ]
        columns = ["Gold", "Predicted", "Times", "% of gold"]
        found.append(TableFinding(title="Most confused", section=BY_LABEL, columns=columns, rows=rows))
    return found


def _by_label(counts: np.ndarray, labels: Sequence[str]) -> TableFinding:
    rows: list[Row] = [
        [label, score.support, 100 * score.precision, 100 * score.recall, 100 * score.f1]
        for label, score in zip(labels, label_scores(counts), strict=True)
    ]
    return TableFinding(
        title="Scores by label",
        section=BY_LABEL,
        columns=["Label", "Texts", "Precision", "Recall", "F1"],
        rows=rows,
        bar="F1",
        is_in_card=len(labels) <= MOST_IN_CARD,
    )


def _charts(gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> list[Finding]:
    """Two labels: the curve of the second, the positive one; more: of those with the most texts."""
    support = np.bincount(gold, minlength=len(labels))
    drawn = [1] if len(labels) == 2 else [int(at) for at in np.argsort(-support, kind="stable")[:_MOST_CURVES]]
    curves = {labels[at]: (gold == at, probabilities[:, at]) for at in drawn if at < len(labels) and support[at]}
    confidence = probabilities[np.arange(len(predicted)), predicted]
    charts: list[Finding] = [precision_recall_chart(curves)] if curves else []
    return [*charts, calibration_chart(confidence, gold == predicted, of="texts")]


def _galleries(pairs: Sequence[Pair], probabilities: np.ndarray, labels: Sequence[str]) -> list[Finding]:
    """The wrong answers given with most confidence, and the right ones given with least."""
    best = -np.sort(-probabilities, axis=1)
    margins = best[:, 0] - best[:, 1] if len(labels) > 1 else best[:, 0]
    is_right = np.array([example.label == prediction.label for example, prediction in pairs])
    wrong, right = np.flatnonzero(~is_right), np.flatnonzero(is_right)
    worst = wrong[np.argsort(-best[wrong, 0], kind="stable")]
    unsure = right[np.argsort(margins[right], kind="stable")]
    galleries = (
        ("Worst mistakes", "The wrong answers given with the highest probability; look for wrong gold labels.", worst),
        ("Right, but only just", "The right answers with the least distance to the next label.", unsure),
    )
    return [
        GalleryFinding(
            title=title,
            note=note,
            section=TO_LOOK_AT,
            exhibits=[_exhibit(pairs[at], labels) for at in order[:_MOST_TEXTS]],
            count=len(order),
        )
        for title, note, order in galleries
        if len(order)
    ]


def _exhibit(pair: Pair, labels: Sequence[str]) -> Exhibit:
    example, prediction = pair
    gold, predicted = [str(example.label)], [str(prediction.label)]
    return Exhibit(
        origin=example.id,
        passages=passages(example.text, example.pair),
        shares=shares(prediction.probabilities, labels, gold=gold, predicted=predicted, most=_MOST_SHARES),
    )
