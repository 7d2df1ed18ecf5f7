"""What there is to show of texts with any number of labels each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.metrics.confusion import score_of
from bert_ms.metrics.curves import average_precision
from bert_ms.records import LabelPrediction, TextExample
from bert_ms.tasks.findings.choosing import matched, passages
from bert_ms.tasks.findings.kinds import Exhibit, Finding, GalleryFinding, Row, TableFinding
from bert_ms.tasks.findings.labels import BY_LABEL, MOST_IN_CARD, TO_LOOK_AT, Pair, shares
from bert_ms.tasks.findings.probabilities import calibration_chart, precision_recall_chart

_MOST_CURVES, _MOST_TEXTS, _MOST_SHARES = 4, 6, 5


def findings(
    examples: Sequence[TextExample], predictions: Sequence[LabelPrediction], labels: Sequence[str]
) -> list[Finding]:
    """Scores by label, precision and recall, calibration, how many labels are given, mistakes.

    Args:
        examples: those whose labels are not known are left out.
        predictions: with probabilities of all labels, or none.
        labels: in the network's order.
    """
    pairs: list[Pair] = matched(examples, predictions, "label")
    if not pairs:
        return []
    gold = _table([_names(example.label) for example, _ in pairs], labels)
    predicted = _table([_names(prediction.label) for _, prediction in pairs], labels)
    if not all(len(prediction.probabilities) == len(labels) for _, prediction in pairs):
        return [_by_label(gold, predicted, None, labels), _by_number(gold, predicted)]
    probabilities = np.array([prediction.probabilities for _, prediction in pairs])
    return [
        _by_label(gold, predicted, probabilities, labels),
        _by_number(gold, predicted),
        *_charts(gold, probabilities, labels),
        *_mistakes(pairs, gold, predicted, probabilities, labels),
    ]


def _names(label: object) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)


def _table(chosen: Sequence[Sequence[str]], labels: Sequence[str]) -> np.ndarray:
    """Whether each text has each label, bool [texts, labels]."""
    number = {label: at for at, label in enumerate(labels)}
    table = np.zeros((len(chosen), len(labels)), bool)
    for row, names in enumerate(chosen):
        table[row, [number[name] for name in names if name in number]] = True
    return table


def _by_label(
    gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray | None, labels: Sequence[str]
) -> TableFinding:
    rows: list[Row] = []
    for at, label in enumerate(labels):
        right = int((gold[:, at] & predicted[:, at]).sum())
        score = score_of(right, int(gold[:, at].sum()), int(predicted[:, at].sum()))
        row: Row = [label, score.support, 100 * score.precision, 100 * score.recall, 100 * score.f1]
        if probabilities is not None:
            row.append(100 * average_precision(gold[:, at], probabilities[:, at]))
        rows.append(row)
    columns = ["Label", "Texts", "Precision", "Recall", "F1", "Average precision"]
    return TableFinding(
        title="Scores by label",
        section=BY_LABEL,
        columns=columns[: len(rows[0]) if rows else 5],
        rows=rows,
        bar="F1",
        is_in_card=len(labels) <= MOST_IN_CARD,
    )


def _by_number(gold: np.ndarray, predicted: np.ndarray) -> TableFinding:
    """Texts by the number of their labels; how many of them got exactly those."""
    numbers, is_exact = gold.sum(1), (gold == predicted).all(1)
    rows: list[Row] = [
        [
            f"{number} label{'' if number == 1 else 's'}",
            int((numbers == number).sum()),
            float(predicted[numbers == number].sum(1).mean()),
            float(100 * is_exact[numbers == number].mean()),
        ]
        for number in sorted(set(numbers.tolist()))
    ]
    return TableFinding(
        title="Scores by number of labels",
        section=BY_LABEL,
        columns=["Gold", "Texts", "Labels given", "All right, %"],
        rows=rows,
        bar="All right, %",
    )


def _charts(gold: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]) -> list[Finding]:
    """Curves of all labels together and of the most frequent ones; calibration over every label of every text."""
    largest = [int(at) for at in np.argsort(-gold.sum(0), kind="stable")[:_MOST_CURVES] if gold[:, at].any()]
    curves = {"all labels": (gold.ravel(), probabilities.ravel())}
    curves |= {labels[at]: (gold[:, at], probabilities[:, at]) for at in largest}
    return [
        precision_recall_chart(curves),
        calibration_chart(probabilities.ravel(), gold.ravel(), of="labels of texts"),
    ]


def _mistakes(
    pairs: Sequence[Pair], gold: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, labels: Sequence[str]
) -> list[Finding]:
    """The texts whose wrong labels together were farthest from right."""
    is_wrong = gold != predicted
    distance = (np.abs(probabilities - gold) * is_wrong).sum(1)
    order = np.argsort(-distance, kind="stable")[: int(is_wrong.any(1).sum())]
    if not len(order):
        return []
    exhibits = []
    for at in order[:_MOST_TEXTS]:
        example, prediction = pairs[at]
        named = {"gold": _names(example.label), "predicted": _names(prediction.label)}
        missed = [name for name in named["gold"] if name not in named["predicted"]]
        extra = [name for name in named["predicted"] if name not in named["gold"]]
        exhibits.append(
            Exhibit(
                origin=example.id,
                passages=passages(example.text, example.pair),
                shares=shares(prediction.probabilities, labels, **named, most=_MOST_SHARES),
                badges=[f"missed: {name}" for name in missed] + [f"too many: {name}" for name in extra],
            )
        )
    note = "The texts whose wrong labels were farthest from right; look for wrong gold labels."
    return [
        GalleryFinding(title="Worst mistakes", note=note, section=TO_LOOK_AT, exhibits=exhibits, count=len(order))
    ]
