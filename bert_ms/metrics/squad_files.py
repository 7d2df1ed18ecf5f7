"""Reading what SQuAD's scores are computed from: questions with gold answers, predictions, null odds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bert_ms.errors import DataError
from bert_ms.records import QuestionExample

_KINDS = {
    dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number", float: "a number",
}  # fmt: skip


class Question(NamedTuple):
    """What scoring needs of a question: its id and gold answers (none when it has no answer)."""

    id: str
    answers: tuple[str, ...]


def read_questions(dataset: str | Path | Mapping[str, Any] | Sequence[QuestionExample]) -> tuple[list[Question], bool]:
    """All questions of a data set, and whether it is marked as having questions without an answer.

    Args:
        dataset: a SQuAD file, its loaded content, or examples.

    Raises:
        DataError: it is not of SQuAD's form; the text names the place, for example `data[0].paragraphs[2].qas[1]`.
    """
    if not isinstance(dataset, str | Path | Mapping | Sequence):
        raise DataError(f"a data set is a SQuAD file, its content or examples, not {_kind(dataset)}.")
    if not isinstance(dataset, str | Path | Mapping):
        examples = list(dataset)
        if examples and not isinstance(examples[0], QuestionExample):
            raise DataError(f"a data set is a SQuAD file, its content or examples, but a list of {_kind(examples[0])} "
                            "was given: give the whole content, an object with 'data'.")  # fmt: skip
        questions = [Question(e.id, tuple(answer.text for answer in e.answers)) for e in examples]
        return questions, any(example.is_impossible for example in examples)
    content, name = _load(dataset, "data set")
    questions, marked = [], False
    for where, article in _items(content, "data", name):
        for at, paragraph in _items(article, "paragraphs", name, where):
            for place, entry in _items(paragraph, "qas", name, at):
                questions.append(_question(entry, name, place))
                marked = marked or "is_impossible" in entry
    return questions, marked


def read_predictions(predictions: str | Path | Mapping[str, str]) -> Mapping[str, str]:
    """{question id: answer}, checked to be texts.

    Raises:
        DataError: not an object of texts.
    """
    content, name = _load(predictions, "predictions")
    for key, value in content.items():
        if not isinstance(value, str):
            hint = " This looks like an n-best file: give predictions.json." if isinstance(value, list) else ""
            found = f"{name}: the prediction of {key!r} is {_kind(value)}"
            raise DataError(f"{found}, expected a text ('' for no answer).{hint}")
    return content


def read_null_odds(odds: str | Path | Mapping[str, float]) -> Mapping[str, float]:
    """{question id: null odds}, checked to be finite numbers.

    Raises:
        DataError: not an object of numbers.
    """
    content, name = _load(odds, "null odds")
    for key, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(f"{name}: the null odds of {key!r} are {value!r}, expected a finite number.")
    return content


def _load(source: Any, what: str) -> tuple[Mapping[str, Any], str]:
    """The JSON object of a file, or an object as it is; with a name for messages."""
    if isinstance(source, str | Path):
        path, name = Path(source), str(source)
        if path.exists() and not path.is_file():
            raise DataError(f"{what} {name} is {'a directory' if path.is_dir() else 'no regular file'}: expected JSON.")
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise DataError(f"{what} {name} cannot be read: {error.strerror or error}.") from None
        except UnicodeDecodeError as error:
            raise DataError(f"{what} {name} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise DataError(f"{what} {name} is not JSON: {error.msg} at {place}.") from None
        except RecursionError:
            raise DataError(f"{what} {name} is nested too deeply to be {what}.") from None
    else:
        content, name = source, what
    if not isinstance(content, Mapping):
        raise DataError(f"{name}: expected a JSON object at the top of {what}, found {_kind(content)}.")
    return content, name


def _items(parent: Mapping[str, Any], key: str, name: str, where: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects of the list `parent[key]`, each with its place."""
    place = f"{where}.{key}" if where else key
    items = parent.get(key)
    if not isinstance(items, list):
        found = "nothing" if items is None else _kind(items)
        raise DataError(
            f"{name}: expected a list at {place}, found {found}. SQuAD's form is data > paragraphs > qas > answers."
        )
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise DataError(f"{name}: expected an object at {place}[{index}], found {_kind(item)}.")
        yield f"{place}[{index}]", item


def _question(entry: Mapping[str, Any], name: str, where: str) -> Question:
    identity = entry.get("id")
    if not isinstance(identity, str):
        raise DataError(f"{name}: expected a text at {where}.id, found {_kind(identity)}.")
    if entry.get("is_impossible") and "answers" not in entry:
        return Question(identity, ())
    answers = []
    for place, answer in _items(entry, "answers", name, where):
        text = answer.get("text")
        if not isinstance(text, str):
            raise DataError(f"{name}: expected a text at {place}.text (question {identity}), found {_kind(text)}.")
        answers.append(text)
    return Question(identity, tuple(answers))


def _kind(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "nothing"
    return _KINDS.get(type(value), type(value).__name__)
