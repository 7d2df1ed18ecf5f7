"""What happened to every parameter and every tensor when weights were loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bert_ms.errors import CheckpointError

_SHOWN = 6


@dataclass(frozen=True)
class WrongShape:
    """A parameter whose tensor in the file has another shape."""

    name: str
    expected: tuple[int, ...]
    found: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} (network {list(self.expected)}, file {list(self.found)})"


@dataclass(frozen=True)
class LoadReport:
    """Result of loading weights into a network; names of parameters are the network's, of tensors the file's.

    Attributes:
        source: what was loaded.
        format: the file format.
        origin: whose names the file uses.
        matched: parameters that were filled.
        missing: parameters that the file lacks and that nobody allowed to be missing.
        unused: tensors that no parameter takes and that nobody allowed to be unused.
        initialised: parameters that keep their initial values: a new task head, or allowed to be missing.
        wrong_shape: parameters whose tensor does not fit.
        dropped: reason -> tensors that are known and not needed (optimiser state, buffers, another task's head, ...).
        notes: what was assumed, and what is worth knowing.
    """

    source: str
    format: str
    origin: str
    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    initialised: tuple[str, ...] = ()
    wrong_shape: tuple[WrongShape, ...] = ()
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every parameter and every tensor is accounted for."""
        return not (self.missing or self.unused or self.wrong_shape)

    def summary(self) -> str:
        """The report for people, one line a topic."""
        lines = [f"{self.source} ({self.format}, names of {self.origin}): {len(self.matched)} parameters loaded."]
        lines += [f"  missing in the file: {_some(self.missing)}"] if self.missing else []
        lines += [f"  unused tensors of the file: {_some(self.unused)}"] if self.unused else []
        lines += [f"  of another shape: {_some(map(str, self.wrong_shape))}"] if self.wrong_shape else []
        lines += [f"  newly initialised: {_some(self.initialised)}"] if self.initialised else []
        lines += [f"  dropped, {reason}: {len(names)} ({_some(names, 2)})" for reason, names in self.dropped.items()]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def raise_if_bad(self) -> None:
        """Raise unless everything is accounted for.

        Raises:
            CheckpointError: with the summary, and what can be done.
        """
        if self.is_complete:
            return
        advice = []
        if self.missing:
            advice.append(f"allow_missing=['{_pattern_of(self.missing[0])}'] keeps their initial values")
        if self.unused:
            advice.append(f"allow_unused=['{self.unused[0]}'] leaves tensors out")
        if self.wrong_shape:
            advice.append("a config that describes the file mends the shapes")
        raise CheckpointError(
            f"the weights do not fit the network.\n{self.summary()}\nIf that is meant: {'; '.join(advice)}."
        )


def _some(names: Iterable[str], shown: int = _SHOWN) -> str:
    names = list(names)
    rest = f", and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + rest


def _pattern_of(name: str) -> str:
    return f"{name.split('.')[0]}.*"
