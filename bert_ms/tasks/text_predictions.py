"""What is predicted of texts, as the files that people and programs read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.decoding import label_files
from bert_ms.records import LabelPrediction, TextExample

Pair = tuple[TextExample, LabelPrediction]


def write(
    directory: Path,
    examples: Sequence[TextExample],
    predictions: Sequence[LabelPrediction],
    labels: Sequence[str],
    further: Mapping[str, str],
) -> list[Path]:
    """Write predictions.tsv, predictions.jsonl and further files; all of them or none.

    Args:
        directory: is made if it is not there.
        examples: the texts; labels, where they are known, are written beside the predictions.
        predictions: of the texts.
        labels: in the network's order; empty for a regression.
        further: text of other files by name.

    Returns:
        The files written.

    Raises:
        DataError: the directory cannot be written to.
    """
    pairs = list(zip(examples, predictions, strict=True))
    columns = ["id", "prediction"]
    columns += ["probability"] if labels else []
    columns += ["label"] if any(example.label is not None for example in examples) else []
    columns += ["text"]
    columns += ["pair"] if any(example.pair is not None for example in examples) else []
    rows = (_row(*pair, labels, columns) for pair in pairs)
    return label_files.write_predictions(directory, columns, rows, _lines(pairs, labels), further)


def _row(
    example: TextExample, prediction: LabelPrediction, labels: Sequence[str], columns: Sequence[str]
) -> list[object]:
    cells = {"id": example.id, "prediction": prediction.label, "label": example.label, "text": example.text,
             "pair": example.pair, "probability": _probability(prediction, labels)}  # fmt: skip
    return [cells[column] for column in columns]


def _probability(prediction: LabelPrediction, labels: Sequence[str]) -> object:
    """Of the label chosen, or of each of those chosen."""
    by_name = dict(zip(labels, prediction.probabilities, strict=False))
    if isinstance(prediction.label, tuple):
        return tuple(f"{by_name[name]:.4f}" for name in prediction.label)
    return f"{by_name[prediction.label]:.4f}" if isinstance(prediction.label, str) else None


def _lines(pairs: Sequence[Pair], labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    for example, prediction in pairs:
        line: dict[str, Any] = {"id": example.id, "prediction": prediction.label}
        if example.label is not None:
            line["label"] = example.label
        if prediction.probabilities:
            line["probabilities"] = dict(zip(labels, map(label_files.rounded, prediction.probabilities), strict=True))
        yield line
