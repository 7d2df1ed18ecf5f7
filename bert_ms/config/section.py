"""What every section of a run's configuration can do: check itself, and become plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from bert_ms.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section that checks itself when it is made and names all that is wrong with it."""

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise ConfigError(problems)

    def problems(self) -> Iterator[str]:
        """One sentence for each value that cannot be used."""
        yield from ()

    def _at_least(self, least: float, *names: str) -> Iterator[str]:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < least:
                yield f"{name} is {value}: expected at least {least}."

    def _in_range(self, low: float, high: float, *names: str) -> Iterator[str]:
        for name in names:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                yield f"{name} is {value}: expected {low} to {high}."


def plain(value: Any) -> Any:
    """Dictionaries and lists of what YAML can hold."""
    if isinstance(value, Section):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    return list(value) if isinstance(value, tuple) else value
