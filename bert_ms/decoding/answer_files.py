"""Writing predictions in the form of the official SQuAD tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_ms.errors import DataError
from bert_ms.files import write_files
from bert_ms.records import QuestionPrediction

PREDICTIONS = "predictions.json"
NBEST = "nbest_predictions.json"
NULL_ODDS = "null_odds.json"


def write_predictions(
    directory: str | Path, predictions: Sequence[QuestionPrediction], with_negatives: bool = False
) -> list[Path]:
    """Write predictions.json {id: answer}, nbest_predictions.json {id: candidates} and, for v2.0, null_odds.json.

    All files are written beside their places first and moved there together at the end, so that a full disk or a kill
    leaves the old ones, never half a file.

    Args:
        directory: is made if it is not there.
        predictions: in the order to be kept.
        with_negatives: also write null_odds.json {id: null_score_diff}.

    Returns:
        The files written.

    Raises:
        DataError: with_negatives for predictions that were made without; a directory that cannot be written to.
    """
    contents: dict[str, Any] = {
        PREDICTIONS: {p.id: p.text for p in predictions},
        NBEST: {p.id: [_candidate(c.text, c.probability, c.start_logit, c.end_logit) for c in p.candidates]
                for p in predictions},
    }  # fmt: skip
    if with_negatives:
        lacking = next((p.id for p in predictions if p.null_score_diff is None), None)
        if lacking is not None:
            raise DataError(f"the prediction of {lacking!r} has no null_score_diff: decode with with_negatives=True.")
        contents[NULL_ODDS] = {p.id: p.null_score_diff for p in predictions}
    texts = {name: json.dumps(content, indent=4) + "\n" for name, content in contents.items()}
    return write_files(directory, texts, error=DataError)


def _candidate(text: str, probability: float, start_logit: float, end_logit: float) -> dict[str, Any]:
    return {"text": text, "probability": probability, "start_logit": start_logit, "end_logit": end_logit}
