"""Writing tagged sentences: in columns, and with their entities as JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms.decoding.tags import place_words, spans
from bert_ms.errors import DataError
from bert_ms.files import write_files
from bert_ms.records import TagsPrediction, TokenExample

COLUMNS = "predictions.conll"
LINES = "predictions.jsonl"
SCORES = "entities.json"
_DECIMALS = 6
_BREAKS = re.compile("[\t\r\n]")


def write_predictions(
    directory: str | Path,
    examples: Sequence[TokenExample],
    predictions: Sequence[TagsPrediction],
    *,
    joiner: str = " ",
    scores: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write predictions.conll, predictions.jsonl and, with scores, entities.json; all of them or none.

    The first has a word, its gold tag where it is known, and the predicted tag between tabs, which conlleval.pl reads
    (`-d '\\t'`); the second for each sentence its text, its entities with type, text, characters from `start` to `end`
    (exclusive) and probability, and for each word `prediction`, `label` where it is known, and probability.

    Args:
        directory: is made if it is not there.
        examples: the sentences.
        predictions: of each.
        joiner: what stands between two words in the text.
        scores: JSON values.

    Raises:
        DataError: the directory cannot be written to.
    """
    pairs = list(zip(examples, predictions, strict=True))
    columns = "".join(_columns(*pair) for pair in pairs)
    lines = "".join(json.dumps(_line(*pair, joiner), ensure_ascii=False) + "\n" for pair in pairs)
    contents = {COLUMNS: columns, LINES: lines}
    if scores is not None:
        contents[SCORES] = json.dumps(scores, indent=2, ensure_ascii=False) + "\n"
    return write_files(directory, contents, error=DataError)


def _columns(example: TokenExample, prediction: TagsPrediction) -> str:
    cells = [[_BREAKS.sub(" ", word) for word in example.words], example.tags, prediction.tags]
    rows = zip(*(column for column in cells if column is not None), strict=True)
    return "".join("\t".join(row) + "\n" for row in rows) + "\n"


def _line(example: TokenExample, prediction: TagsPrediction, joiner: str) -> dict[str, Any]:
    text, places = place_words(example.words, joiner)
    found = [
        {"type": s.type, "text": s.text, "start": s.start, "end": s.end, "probability": round(s.probability, _DECIMALS)}
        for s in spans(prediction.tags, text, places, prediction.probabilities)
    ]
    line: dict[str, Any] = {"id": example.id, "text": text, "entities": found, "words": list(example.words)}
    line["prediction"] = list(prediction.tags)
    if example.tags is not None:
        line["label"] = list(example.tags)
    line["probabilities"] = [round(value, _DECIMALS) for value in prediction.probabilities]
    return line
