"""The file that a data set's leaderboard takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bert_ms.data.datasets import Dataset, Submission
from bert_ms.records import LabelPrediction


def submission(dataset: Dataset | None, path: str | Path, predictions: Sequence[LabelPrediction]) -> dict[str, str]:
    """Name and text of the leaderboard's file for predictions of a test file; empty where there is no leaderboard.

    Args:
        dataset: of the test file; None for one's own.
        path: of the test file, whose name says which part of the data set it is.
        predictions: in the order of the file.

    Source: the format of submissions on gluebenchmark.com and cluebenchmarks.com.
    """
    if dataset is None or dataset.submission is None:
        return {}
    form = dataset.submission
    name = next((file for part, file in form.others if part in Path(path).name), form.file)
    written = [(prediction.id, _written(prediction, form)) for prediction in predictions]
    if form.form == "jsonl":
        return {name: "".join(json.dumps({"id": _number(id_), "label": text}) + "\n" for id_, text in written)}
    return {name: "index\tprediction\n" + "".join(f"{id_}\t{text}\n" for id_, text in written)}


def _written(prediction: LabelPrediction, form: Submission) -> str:
    label = prediction.label
    if not isinstance(label, float):
        return str(label)
    if form.bounds is not None:
        low, high = form.bounds
        label = min(max(label, low), high)
    return f"{label:.{form.decimals}f}"


def _number(id_: str) -> int | str:
    return int(id_) if id_.isdecimal() else id_
