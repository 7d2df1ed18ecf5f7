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
from bert_ms.tags.entities import entities

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
    further: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write predictions.conll, predictions.jsonl, with scores entities.json, and further files; all of them or none.

    The first has a word, its gold tag where it is known, and the predicted tag between tabs, which conlleval.pl reads
    (`-d '\\t'`); the second for each sentence its text, its entities with type, text, characters from `start` to `end`
    (exclusive) and probability, and for each word `prediction`, `label` where it is known, and probability.

    Args:
        directory: is made if it is not there.
        examples: the sentences.
        predictions: of each.
        joiner: what stands between two words in the text.
        scores: JSON values.
        further: text of other files by name.

    Raises:
        DataError: the directory cannot be written to.
    """
    pairs = list(zip(examples, predictions, strict=True))
    columns = "".join(_columns(*pair) for pair in pairs)
    lines = "".join(json.dumps(_line(*pair, joiner), ensure_ascii=False) + "\n" for pair in pairs)
    contents: dict[str, str | bytes] = {COLUMNS: columns, LINES: lines, **(further or {})}
    if scores is not None:
        contents[SCORES] = json.dumps(scores, indent=2, ensure_ascii=False) + "\n"
    return write_files(directory, contents, error=DataError)


def span_lines(examples: Sequence[TokenExample], predictions: Sequence[TagsPrediction]) -> str:
    """Entities of sentences in characters as CLUENER's leaderboard takes them: {"id": 0, "label": {type: {text: ...}}}.

    Source: the format of cluener_predict.json on cluebenchmarks.com; the last character is of the entity.
    """
    lines = []
    for example, prediction in zip(examples, predictions, strict=True):
        label: dict[str, dict[str, list[list[int]]]] = {}
        for entity in entities(prediction.tags):
            text = "".join(example.words[entity.start : entity.end])
            label.setdefault(entity.type, {}).setdefault(text, []).append([entity.start, entity.end - 1])
        id_ = int(example.id) if example.id.isdecimal() else example.id
        lines.append(json.dumps({"id": id_, "label": label}, ensure_ascii=False) + "\n")
    return "".join(lines)


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
