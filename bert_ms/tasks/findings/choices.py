"""What there is to show of beginnings with several ends, one of which is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bert_ms.records import ChoiceExample, ChoicePrediction
from bert_ms.tasks.findings.choosing import excerpt, mark_of, matched
from bert_ms.tasks.findings.kinds import Exhibit, Finding, GalleryFinding, Row, Share, TableFinding
from bert_ms.tasks.findings.labels import TO_LOOK_AT
from bert_ms.tasks.findings.probabilities import SECTION, calibration_chart

Pair = tuple[ChoiceExample, ChoicePrediction]

_MOST_EXAMPLES, _MOST_CHARACTERS = 6, 240


def findings(examples: Sequence[ChoiceExample], predictions: Sequence[ChoicePrediction]) -> list[Finding]:
    """Accuracy by confidence, the place of the right choice, and mistakes with all their choices.

    Args:
        examples: those whose right choice is not known are left out.
        predictions: with the probability of each choice.
    """
    pairs: list[Pair] = matched(examples, predictions, "label")
    if not pairs:
        return []
    confidence = np.array([prediction.probabilities[prediction.choice] for _, prediction in pairs])
    is_right = np.array([example.label == prediction.choice for example, prediction in pairs])
    return [calibration_chart(confidence, is_right, of="examples"), _places(pairs), *_galleries(pairs, confidence)]


def _places(pairs: Sequence[Pair]) -> TableFinding:
    """How often the right choice comes first, second, ... by probability."""
    counts: dict[int, int] = {}
    for example, prediction in pairs:
        assert example.label is not None
        above = sum(p > prediction.probabilities[example.label] for p in prediction.probabilities)
        counts[above] = counts.get(above, 0) + 1
    rows: list[Row] = []
    reached = 0
    for above in sorted(counts):
        reached += counts[above]
        rows.append([str(above + 1), counts[above], 100 * counts[above] / len(pairs), 100 * reached / len(pairs)])
    return TableFinding(
        title="Place of the right choice",
        note="By probability: 1 is the choice taken.",
        section=SECTION,
        columns=["Place", "Examples", "%", "% to here"],
        rows=rows,
        bar="%",
    )


def _galleries(pairs: Sequence[Pair], confidence: np.ndarray) -> list[Finding]:
    wrong = [at for at, (example, prediction) in enumerate(pairs) if example.label != prediction.choice]
    if not wrong:
        return []
    order = sorted(wrong, key=lambda at: -confidence[at])
    exhibits = [_exhibit(*pairs[at]) for at in order[:_MOST_EXAMPLES]]
    note = "The wrong choices taken with the highest probability; look for wrong gold labels."
    return [
        GalleryFinding(title="Worst mistakes", note=note, section=TO_LOOK_AT, exhibits=exhibits, count=len(wrong))
    ]


def _exhibit(example: ChoiceExample, prediction: ChoicePrediction) -> Exhibit:
    return Exhibit(
        origin=example.id,
        passages=[excerpt(example.context)] if example.context.strip() else [],
        shares=[
            Share(
                excerpt(text, _MOST_CHARACTERS)[0].text,
                probability,
                mark_of(is_gold=at == example.label, is_predicted=at == prediction.choice),
            )
            for at, (text, probability) in enumerate(zip(example.choices, prediction.probabilities, strict=True))
        ],
    )
