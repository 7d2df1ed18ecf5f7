"""Reading questions on passages in SQuAD's format: v1.1, v2.0, and what is written like them (CMRC 2018, DRCD)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bert_ms.data.text_files import MAX_FILE_BYTES, parse_json, read_text
from bert_ms.errors import DataError
from bert_ms.records import Answer, QuestionExample

logger = logging.getLogger(__name__)

OnBadAnswer = Literal["error", "fix", "drop", "keep"]
ON_BAD_ANSWER = ("error", "fix", "drop", "keep")
MAX_CONTEXT = 5_000_000
_SHAPE = (
    'SQuAD: {"data": [{"paragraphs": [{"context": "...", "qas": [{"id": "...", "question": "...", "answers": []}]}]}]}'
)


@dataclass(frozen=True)
class SquadData:
    """A file in SQuAD's format.

    Attributes:
        examples: its questions in the order of the file.
        with_negatives: it says of questions whether they have an answer (`is_impossible`, SQuAD v2.0).
    """

    examples: list[QuestionExample]
    with_negatives: bool


def read(
    path: str | os.PathLike[str],
    *,
    with_negatives: bool | None = None,
    limit: int | None = None,
    on_bad_answer: OnBadAnswer = "error",
) -> list[QuestionExample]:
    """The questions of a file in SQuAD's format; `load` also says which version it is."""
    return load(path, with_negatives=with_negatives, limit=limit, on_bad_answer=on_bad_answer).examples


def load(
    path: str | os.PathLike[str],
    *,
    with_negatives: bool | None = None,
    limit: int | None = None,
    on_bad_answer: OnBadAnswer = "error",
) -> SquadData:
    """Read a file in SQuAD's format and check it.

    Args:
        path: the JSON file, UTF-8.
        with_negatives: True or None keeps questions without an answer, False leaves them out.
        limit: read only the first so many questions.
        on_bad_answer: an answer that does not stand at its `answer_start` is an error; "fix" takes the nearest place
            where it stands, "drop" leaves the answer out, "keep" takes it as it is, for data that is only evaluated on.
            "fix" and "drop" leave out a question that no answer is left of, and one that is empty.

    Raises:
        DataError: the file is missing, too large, not UTF-8 or not JSON; a key is missing or of the wrong type (with
            its place in the JSON); an id twice; an empty context; no questions. Unless `on_bad_answer` says otherwise:
            empty questions, and answers that do not stand in the context.
    """
    if on_bad_answer not in ON_BAD_ANSWER:
        raise DataError(f"on_bad_answer is {on_bad_answer!r}, expected one of {', '.join(ON_BAD_ANSWER)}.")
    file = _File(Path(path), on_bad_answer)
    examples: list[QuestionExample] = []
    for example in file.examples():
        if limit is not None and len(examples) >= limit:
            break
        if not (example.is_impossible and with_negatives is False):
            examples.append(example)
    file.report()
    if not examples:
        raise DataError(f"{path} holds no questions{' that have an answer' if with_negatives is False else ''}.")
    return SquadData(examples, file.says_impossible if with_negatives is None else with_negatives)


def read_json(path: Path, *, max_bytes: int = MAX_FILE_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: the file is missing, a directory, empty, too large, not UTF-8, or not JSON (with line and column).
    """
    return parse_json(read_text(path, kind="JSON", endings=(".json",), max_bytes=max_bytes), str(path))


class _File:
    """Walks through one file, with the place in its JSON at hand for messages."""

    def __init__(self, path: Path, on_bad_answer: OnBadAnswer):
        self.path = path
        self.on_bad_answer = on_bad_answer
        self.says_impossible = False
        self.bad: list[str] = []
        self.seen: dict[str, str] = {}

    def examples(self) -> Iterator[QuestionExample]:
        content = read_json(self.path)
        if not isinstance(content, dict) or "data" not in content:
            found = f"keys {sorted(content)[:8]}" if isinstance(content, dict) else _name(content)
            raise DataError(f"{self.path}: key 'data' is missing at the top; found {found}. Expected {_SHAPE}.")
        for a, article in enumerate(self._list(content, "data", "")):
            title = article.get("title", "") if isinstance(article, dict) else ""
            for p, paragraph in enumerate(self._list(article, "paragraphs", f"data[{a}]")):
                where = f"data[{a}].paragraphs[{p}]"
                context = self._text(paragraph, "context", where)
                if len(context) > MAX_CONTEXT:
                    raise self._error(
                        f"{where}.context", f"has {len(context):,} characters, expected at most {MAX_CONTEXT:,}"
                    )
                for q, question in enumerate(self._list(paragraph, "qas", where)):
                    example = self._example(question, context, str(title), f"{where}.qas[{q}]")
                    if example is not None:
                        yield example

    def report(self) -> None:
        """Say what was wrong with questions and answers: raise, or log what was done about it."""
        if not self.bad:
            return
        shown = "\n".join(f"  - {line}" for line in self.bad[:3])
        more = f"\n  and {len(self.bad) - 3} more" if len(self.bad) > 3 else ""
        many = len(self.bad) > 1
        what = "questions or answers cannot be used as they are" if many else "question cannot be used as it is"
        text = f"{self.path}: {len(self.bad)} {what}:\n{shown}{more}"
        if self.on_bad_answer == "error":
            raise DataError(
                f"{text}\nCorrect the file, or say data.on_bad_answer=fix (takes the nearest place where the answer "
                f"stands, and leaves out what cannot be mended) or drop (leaves all of them out)."
            )
        logger.warning("%s\nTreated by on_bad_answer=%r.", text, self.on_bad_answer)

    def _example(self, question: Any, context: str, title: str, where: str) -> QuestionExample | None:
        id_ = self._text(question, "id", where)
        if id_ in self.seen:
            raise self._error(where, f"has id {id_!r}, which {self.seen[id_]} has already: ids must be unique")
        self.seen[id_] = where
        text = self._text(question, "question", where, may_be_empty=True)
        is_impossible = question.get("is_impossible", False)
        if not isinstance(is_impossible, bool):
            raise self._error(f"{where}.is_impossible", f"is {is_impossible!r}, expected true or false")
        self.says_impossible |= "is_impossible" in question
        if not text.strip():
            self.bad.append(f"{where} (id {id_}): the question is empty")
            if self.on_bad_answer != "keep":
                return None
        stated = self._list(question, "answers", where) if "answers" in question else []
        if is_impossible and stated:
            raise self._error(where, f"(id {id_}) has answers and is_impossible true: one of them is wrong")
        found = [self._answer(a, context, id_, f"{where}.answers[{i}]") for i, a in enumerate(stated)]
        answers = tuple(answer for answer in found if answer is not None)
        if stated and not answers:
            return None
        return QuestionExample(id_, text, context, answers, is_impossible, title)

    def _answer(self, answer: Any, context: str, id_: str, where: str) -> Answer | None:
        text = self._text(answer, "text", where)
        start = answer.get("answer_start")
        if not isinstance(start, int) or isinstance(start, bool):
            stated = f"is {start!r}, expected a whole number" if "answer_start" in answer else "is missing"
            raise self._error(f"{where}.answer_start", stated)
        if self.on_bad_answer == "keep" or (start >= 0 and context.startswith(text, start)):
            return Answer(text, start)
        place = _nearest(context, text, start)
        there = repr(context[start : start + len(text)][:40]) if 0 <= start < len(context) else "nothing (outside)"
        if place is None:
            self.bad.append(f"{where} (id {id_}): answer {text[:60]!r} does not occur in the context at all")
        else:
            self.bad.append(
                f"{where} (id {id_}): answer {text[:60]!r} is not at answer_start {start}, where {there} stands; the "
                f"nearest occurrence is at {place}"
            )
        return Answer(text, place) if self.on_bad_answer == "fix" and place is not None else None

    def _list(self, parent: Any, key: str, where: str) -> list[Any]:
        value = self._get(parent, key, where)
        if not isinstance(value, list):
            raise self._error(_join(where, key), f"is {_name(value)}, expected a list")
        return value

    def _text(self, parent: Any, key: str, where: str, *, may_be_empty: bool = False) -> str:
        value = self._get(parent, key, where)
        if not isinstance(value, str):
            raise self._error(_join(where, key), f"is {str(value)[:40]} ({_name(value)}), expected text")
        if not (value.strip() or may_be_empty):
            raise self._error(_join(where, key), "is empty, expected text")
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise self._error(_join(where, key), "is no valid Unicode: it holds half a surrogate pair")
        return value

    def _get(self, parent: Any, key: str, where: str) -> Any:
        if not isinstance(parent, Mapping):
            raise self._error(where, f"is {_name(parent)}, expected an object with '{key}'")
        if key not in parent:
            raise self._error(where, f"has no '{key}'; found keys {sorted(map(str, parent))[:8]}. Expected {_SHAPE}")
        return parent[key]

    def _error(self, where: str, what: str) -> DataError:
        return DataError(f"{self.path}: {where} {what}.")


def _nearest(context: str, text: str, start: int) -> int | None:
    start = min(max(start, 0), len(context))
    places = [place for place in (context.rfind(text, 0, start + len(text)), context.find(text, start)) if place >= 0]
    return min(places, key=lambda place: abs(place - start)) if places else None


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null")
