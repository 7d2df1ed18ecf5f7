"""Reading tagged sentences in JSON lines: lists of words and tags, or CLUENER's spans of characters."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from bert_ms.data import tables
from bert_ms.data.tables import Row
from bert_ms.data.tagged import Sentence, TaggedData, assemble
from bert_ms.errors import DataError
from bert_ms.tags.entities import Entity, bio

logger = logging.getLogger(__name__)

ENDINGS = (".json", ".jsonl", ".ndjson")
_WORDS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "labels")
_TEXT, _SPANS, _ID = "text", "label", "id"


def read_lists(
    path: str | os.PathLike[str],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    names: Sequence[str] = (),
    tagging: str = "auto",
    needs_tags: bool = True,
    limit: int | None = None,
) -> TaggedData:
    """The sentences of lines such as `{"tokens": ["Ann", "left"], "tags": ["B-PER", "O"]}`.

    Args:
        path: the file, UTF-8: an object a line, or one list of objects.
        text_column: key of the words; None takes `tokens` or `words`.
        label_column: key of the tags; None takes `tags`, `ner_tags` or `labels`.
        names: of tags that are given as numbers.
        tagging: see `tagged.assemble`.
        needs_tags: without, lines may have words alone.
        limit: read only the first so many.

    Raises:
        DataError: the file cannot be read, a line is no such object, or its tags cannot be used.
    """
    file = _File(Path(path))
    return assemble(
        file.path, file.lists(text_column, label_column, names, needs_tags=needs_tags), tagging=tagging, limit=limit
    )


def read_spans(path: str | os.PathLike[str], *, needs_tags: bool = True, limit: int | None = None) -> TaggedData:
    """The sentences of CLUENER's lines, every character a word, with the tags of the spans.

    A line is `{"text": "...", "label": {"name": {"叶老桂": [[9, 11]]}}}`: types, and first and last character of each
    entity. Of spans that overlap the longer is taken, since a character has one tag.

    Args:
        path: the file, UTF-8.
        needs_tags: without, lines may have no labels.
        limit: read only the first so many.

    Raises:
        DataError: the file cannot be read, a line is no such object, or a span is not where its text stands.
    """
    file = _File(Path(path))
    data = assemble(file.path, file.spans(needs_tags=needs_tags), tagging="bio", limit=limit)
    if file.overlapping:
        logger.warning("%s: %d spans overlap longer ones and are left out", path, file.overlapping)
    return TaggedData(data.examples, data.scheme, "")


def has_lists(path: str | os.PathLike[str], text_column: str | None = None) -> bool:
    """Whether the first line of a file has a list of words, rather than a text."""
    row = next(tables.rows_of(Path(path), "jsonl"), None)
    keys = _WORDS if text_column is None else (text_column,)
    return row is not None and any(isinstance(row.values.get(key), list) for key in keys)  # type: ignore[union-attr]


class _File:
    """Walks through one file, with the line at hand for messages."""

    def __init__(self, path: Path):
        self.path = path
        self.line = 0
        self.overlapping = 0

    def lists(
        self, text_column: str | None, label_column: str | None, names: Sequence[str], *, needs_tags: bool
    ) -> Iterator[Sentence]:
        """Sentences of lists."""
        has_tags: bool | None = None
        for row in self._rows():
            words_key = self._key(row, text_column, _WORDS)
            words = self._strings(row[words_key], words_key, ())
            tags_key = self._key(row, label_column, _TAGS, is_needed=needs_tags)
            tags = None if tags_key is None else self._strings(row[tags_key], tags_key, names)
            if tags is not None and len(tags) != len(words):
                self._fail(f"{words_key} has {len(words)} words, {tags_key} {len(tags)} tags: expected as many")
            has_tags = self._same(has_tags, tags is not None)
            if words:
                yield Sentence(words, tags, (self.line,), self._id(row))

    def spans(self, *, needs_tags: bool) -> Iterator[Sentence]:
        """Sentences of texts with spans."""
        has_tags: bool | None = None
        for row in self._rows():
            text = row.get(_TEXT)
            if not isinstance(text, str) or not text:
                self._fail(f"'{_TEXT}' is {str(text)[:40]!r}, expected a text")
            self._check_unicode(text)
            label = row.get(_SPANS)
            if label is None and needs_tags:
                self._fail(f"has no '{_SPANS}'; found keys {sorted(map(str, row))[:8]}")
            has_tags = self._same(has_tags, label is not None)
            tags = None if label is None else bio(self._apart(self._entities(label, text)), len(text))
            yield Sentence(text, tags, (self.line,), self._id(row))

    def _rows(self) -> Iterator[Mapping[str, Any]]:
        for row in tables.rows_of(self.path, "jsonl"):
            self.line = row.line
            if row.problem is not None:
                self._fail(row.problem)
            yield _mapping(row)

    def _key(
        self, row: Mapping[str, Any], given: str | None, usual: Sequence[str], *, is_needed: bool = True
    ) -> Any:
        found = next((key for key in ((given,) if given is not None else usual) if key in row), None)
        if found is None and is_needed:
            wanted = repr(given) if given is not None else " or ".join(map(repr, usual))
            self._fail(f"has no {wanted}; found keys {sorted(map(str, row))[:8]}")
        return found

    def _strings(self, value: Any, key: str, names: Sequence[str]) -> list[str]:
        if not isinstance(value, list):
            self._fail(f"'{key}' is {str(value)[:40]!r}, expected a list of texts")
        named = [names[v] if type(v) is int and 0 <= v < len(names) else v for v in value] if names else value
        for entry in named:
            if not isinstance(entry, str):
                hint = ": name the tags in order with data.labels" if type(entry) is int else ""
                self._fail(f"'{key}' holds {str(entry)[:40]}, expected texts{hint}")
            self._check_unicode(entry)
        return named

    def _entities(self, label: Any, text: str) -> list[Entity]:
        found = []
        try:
            stated = [
                (type_, name, first, last)
                for type_, names in label.items()
                for name, places in names.items()
                for first, last in places
            ]
        except (AttributeError, TypeError, ValueError):
            self._fail(f"'{_SPANS}' is {str(label)[:60]}, expected {{type: {{text: [[first, last], ...]}}}}")
        for type_, name, first, last in stated:
            if type(first) is not int or type(last) is not int or not 0 <= first <= last < len(text):
                self._fail(f"{type_} {name!r} at [{first}, {last}] lies outside the text's {len(text)} characters")
            if text[first : last + 1] != name:
                self._fail(f"{type_} {name!r} is not at [{first}, {last}], where {text[first : last + 1]!r} stands")
            found.append(Entity(type_, first, last + 1))
        return found

    def _apart(self, entities: list[Entity]) -> list[Entity]:
        kept: list[Entity] = []
        for entity in sorted(entities, key=lambda e: (e.start - e.end, e.start, e.type)):
            if all(entity.end <= other.start or other.end <= entity.start for other in kept):
                kept.append(entity)
            else:
                self.overlapping += 1
        return kept

    def _same(self, before: bool | None, now: bool) -> bool:
        if before is not None and before != now:
            self._fail(f"{'has tags' if now else 'has no tags'}, unlike the lines before it")
        return now

    def _id(self, row: Mapping[str, Any]) -> str | None:
        value = row.get(_ID)
        return None if value is None or isinstance(value, (list, dict)) else str(value)

    def _check_unicode(self, text: str) -> None:
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            self._fail("holds half a surrogate pair: it is no valid Unicode")

    def _fail(self, what: str) -> NoReturn:
        raise DataError(f"{self.path}, line {self.line}: {what}.")


def _mapping(row: Row) -> Mapping[str, Any]:
    assert isinstance(row.values, Mapping)
    return row.values
