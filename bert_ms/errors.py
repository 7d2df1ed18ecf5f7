"""Errors that say what was given, what was expected and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class BertMsError(Exception):
    """Base of every error that bert_ms raises on purpose; its text is meant to be shown to the user."""


class ConfigError(BertMsError, ValueError):
    """A configuration that cannot be used.

    Args:
        problems: every problem found, one sentence each, so that all can be mended in one go.
        source: the file or object that the configuration came from, if there is one.
    """

    def __init__(self, problems: str | Sequence[str], *, source: str | None = None):
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        self.source = source
        where = f"{source}: " if source else ""
        if len(self.problems) == 1:
            text = f"{where}{self.problems[0]}"
        else:
            text = f"{where}{len(self.problems)} problems:\n" + "\n".join(f"  - {p}" for p in self.problems)
        super().__init__(text)


class DataError(BertMsError, ValueError):
    """Input data (a file, an example, a request) that cannot be read as what it should be."""


class TokenizerError(BertMsError, ValueError):
    """A vocabulary or tokenizer file that cannot be used, or a text that cannot be encoded as asked."""


class TooLongError(TokenizerError):
    """A text with more tokens than were allowed: what was counted, and what whoever asked can do about it.

    Attributes:
        counted: "the text has 20 tokens, ..., more than max_length 10".
        index: of the text among several that were given together; None where it was alone.
    """

    def __init__(self, counted: str, advice: str, *, index: int | None = None):
        self.counted, self.advice, self.index = counted, advice, index
        super().__init__(f"{'' if index is None else f'text {index}: '}{counted}. {advice}")

    def told(self, advice: str | None = None, *, index: int | None = None) -> TooLongError:
        """The same in words of another caller, whose options have other names, or of another text."""
        return TooLongError(self.counted, advice or self.advice, index=self.index if index is None else index)


class CheckpointError(BertMsError, ValueError):
    """Weights that cannot be read, do not fit the network, or could not be written."""


class TrainingError(BertMsError, RuntimeError):
    """A training run that cannot go on."""


class DependencyError(BertMsError, ImportError):
    """An optional package that this call needs is not installed."""


class DeviceError(BertMsError, RuntimeError):
    """The device that was asked for is not there, or cannot do what was asked."""


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that `name` was probably meant to be, or None if nothing is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown(kind: str, name: object, choices: Iterable[str]) -> str:
    """One sentence for a name that is not among `choices`: the nearest one first, then all of them.

    >>> unknown("task", "question-anwering", ["encoder", "question-answering"])
    "unknown task 'question-anwering': did you mean 'question-answering'? Known: encoder, question-answering."
    """
    known = sorted(choices)
    guess = nearest(str(name), known)
    hint = f"did you mean '{guess}'? " if guess else ""
    return f"unknown {kind} '{name}': {hint}Known: {', '.join(known)}."
