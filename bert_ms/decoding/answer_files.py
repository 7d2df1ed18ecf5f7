"""Writing predictions in the form of the official SQuAD tools."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bert_ms.errors import DataError
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
    folder = Path(directory)
    written: list[tuple[Path, Path]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            path = folder / name
            part = path.with_name(f".{name}.{os.getpid()}.part")
            written.append((part, path))
            with part.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=4)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
        for part, path in written:
            os.replace(part, path)
    except OSError as error:
        raise DataError(f"predictions cannot be written to {folder}: {error.strerror or error}.") from None
    finally:
        for part, _ in written:
            part.unlink(missing_ok=True)
    return [path for _, path in written]


def _candidate(text: str, probability: float, start_logit: float, end_logit: float) -> dict[str, Any]:
    return {"text": text, "probability": probability, "start_logit": start_logit, "end_logit": end_logit}
