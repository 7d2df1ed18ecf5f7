"""YAML text as nested mappings whose entries know the line that they stand on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from bert_ms.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 20


@dataclass(frozen=True)
class Entry:
    """A value of a YAML file.

    Attributes:
        value: a plain value, or a dict of entries by key.
        where: how to point at it, for example "line 7".
    """

    value: Any
    where: str


class _Loader(yaml.SafeLoader):
    """A safe loader that knows neither aliases (a small file could grow without bound) nor deep nesting."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"line {line}: '*{event.anchor}' is an alias, which is not read: write the value out.")
        if self.depth >= MAX_DEPTH:
            raise ConfigError(f"line {line}: nested deeper than {MAX_DEPTH} levels: a configuration has 2.")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def parse_mapping(text: str) -> tuple[dict[str, Entry], list[str]]:
    """The entries of a YAML mapping.

    Args:
        text: the YAML document; an empty one is an empty mapping.

    Returns:
        Entries by key, and one sentence for each key that stands twice (the first one is kept).

    Raises:
        ConfigError: the text is no YAML, no mapping, has aliases, or is too large or too deep.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{len(text):,} characters long: expected a configuration of at most {MAX_BYTES:,}.")
    loader, node = _composed(text)
    if node is None:
        return {}, []
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"line {_line(node)}: expected `key: value` lines, found {_shown(loader, node)}.")
    problems: list[str] = []
    return dict(_entries(loader, node, "", problems)), problems


def parse_value(text: str, where: str) -> tuple[Entry, list[str]]:
    """One value as YAML reads it: a scalar, a list, or a mapping (as entries), with the problems found in it."""
    loader, node = _composed(text)
    if isinstance(node, yaml.MappingNode):
        problems: list[str] = []
        entries = {key: Entry(e.value, where) for key, e in _entries(loader, node, "", problems)}
        return Entry(entries, where), problems
    try:
        return Entry(None if node is None else loader.construct_document(node), where), []
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"the value cannot be read: {error}") from None


def _composed(text: str) -> tuple[_Loader, yaml.Node | None]:
    try:
        loader = _Loader(text)
        return loader, loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        star = " A text that begins with * stands in quotes." if error.context == "while scanning an alias" else ""
        raise ConfigError(f"{where}this is not YAML: {error.problem or error.context}.{star}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"this is not YAML: {error}") from None


def _entries(loader: _Loader, node: yaml.MappingNode, prefix: str, problems: list[str]) -> Iterator[tuple[str, Entry]]:
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = _line(key_node)
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else _shown(loader, key_node)
        if key in seen:
            problems.append(f"line {line}: {prefix}{key} stands twice, first in line {seen[key]}: keep one.")
            continue
        seen[key] = line
        if isinstance(value_node, yaml.MappingNode):
            yield key, Entry(dict(_entries(loader, value_node, f"{prefix}{key}.", problems)), f"line {line}")
            continue
        try:
            value = loader.construct_object(value_node, deep=True)
        except (yaml.YAMLError, ValueError) as error:  # a tag such as !!python/object, or the date 2024-13-45
            reason = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            problems.append(f"line {line}: {prefix}{key} cannot be read: {reason}.")
        else:
            yield key, Entry(value, f"line {line}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(loader: _Loader, node: yaml.Node) -> str:
    kind = {yaml.ScalarNode: "the text", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}[type(node)]
    return f"{kind} '{node.value}'" if isinstance(node, yaml.ScalarNode) else kind
