"""What there is to show of texts, whatever is said of them: one label, several, or a number."""

from __future__ import annotations

from collections.abc import Sequence

from bert_ms.records import LabelPrediction, TextExample
from bert_ms.tasks.findings import label_sets, numbers
from bert_ms.tasks.findings import labels as single_labels
from bert_ms.tasks.findings.kinds import Finding


def findings(
    examples: Sequence[TextExample], predictions: Sequence[LabelPrediction], labels: Sequence[str]
) -> list[Finding]:
    """The findings that fit what was predicted.

    Args:
        examples: those whose answer is not known are left out.
        predictions: all of one kind.
        labels: in the network's order; not looked at for numbers.
    """
    if all(isinstance(prediction.label, tuple) for prediction in predictions):
        return label_sets.findings(examples, predictions, labels)
    if all(isinstance(prediction.label, str) for prediction in predictions):
        return single_labels.findings(examples, predictions, labels)
    return numbers.findings(examples, predictions)
