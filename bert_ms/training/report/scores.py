"""Scores in words: their names, their units, whether more of them is better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

Unit = Literal["percent", "loss", "count", "threshold"]

_WORDS = {
    "exact_match": "exact match", "exact": "exact match", "f1": "F1", "total": "questions",
    "matthews": "Matthews correlation", "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation", "spearman": "Spearman correlation", "spearmanr": "Spearman correlation",
    "mse": "mean squared error", "mae": "mean distance", "rmse": "root mean squared error",
    "masked_lm_accuracy": "masked words, accuracy", "masked_lm_loss": "masked words, loss",
    "next_sentence_accuracy": "next sentence, accuracy", "next_sentence_loss": "next sentence, loss",
    "next_word_accuracy": "next word, accuracy",
}  # fmt: skip
_SHORT = {"f1": "F1"}
_PARTS = {"HasAns_": ", answerable", "NoAns_": ", unanswerable"}
_LOSSES = ("loss", "perplexity", "mse", "mae", "rmse", "error")
_COUNTS = ("total", "count", "support", "examples", "tokens", "words", "entities", "sentences")
_NO_SCORES = ("kind", "step", "epoch", "seconds")

# What a chart's axis, or a tile, says of a unit.
UNIT_NAMES: dict[Unit, str] = {"percent": "percent", "loss": "lower is better", "count": "", "threshold": ""}


def score_name(name: str) -> str:
    """A score's name for people.

    >>> score_name("exact_match"), score_name("macro_f1"), score_name("HasAns_f1"), score_name("best_f1_thresh")
    ('Exact match', 'Macro F1', 'F1, answerable', 'Threshold of best F1')
    """
    for prefix, meaning in _PARTS.items():
        if name.startswith(prefix):
            return _capital(_in_words(name.removeprefix(prefix)) + meaning)
    if name.startswith("best_"):
        rest = name.removeprefix("best_")
        if rest.endswith("_thresh"):
            return f"Threshold of best {_in_words(rest.removesuffix('_thresh'))}"
        return f"Best {_in_words(rest)} by threshold"
    return _capital(_in_words(name))


def score_text(name: str, value: float | None) -> str:
    """A score for people: counts whole, percentages with two decimals, losses with four digits."""
    if value is None:
        return "–"
    unit = unit_of(name)
    if unit == "count" or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:.4g}" if unit == "loss" else f"{value:.2f}"


def gain_text(name: str, before: float, after: float) -> str:
    """The difference between two values of a score; empty where it rounds to nothing."""
    if score_text(name, before) == score_text(name, after):
        return ""
    difference = after - before
    return (f"{difference:+.3g}" if unit_of(name) == "loss" else f"{difference:+.2f}").replace("-", "−")


def unit_of(name: str) -> Unit:
    """What a score is measured in; correlations are told as percentages, as GLUE has them.

    >>> unit_of("macro_f1"), unit_of("eval_loss"), unit_of("HasAns_total"), unit_of("best_f1_thresh")
    ('percent', 'loss', 'count', 'threshold')
    """
    last = name.rsplit("_", 1)[-1].lower()
    if last in ("thresh", "threshold"):
        return "threshold"
    if last in _LOSSES:
        return "loss"
    return "count" if last in _COUNTS else "percent"


def is_better_high(name: str) -> bool:
    """Whether more of a score is better."""
    return unit_of(name) != "loss"


def ordered(names: Iterable[str], main: str) -> list[str]:
    """Scores by what they say of a run: the one that counts, others of all data, those of a part of it.

    Counts and thresholds are left out.
    """
    kept = [name for name in dict.fromkeys(names) if unit_of(name) in ("percent", "loss")]

    def rank(name: str) -> tuple[bool, bool, bool, bool]:
        is_part = _is_part(name)
        return name != main, unit_of(name) != unit_of(main), is_part, is_part and not name.endswith(main)

    return sorted(kept, key=rank)


def distinct(names: Iterable[str], value: Callable[[str], object]) -> list[str]:
    """Names without those whose value another had before, as the micro F1 of single labels has the accuracy's."""
    kept: dict[str, str] = {}
    for name in names:
        kept.setdefault(repr(value(name)), name)
    return list(kept.values())


def evaluated(metrics: Sequence[Mapping[str, object]]) -> list[str]:
    """Names of all scores in the evaluation lines of metrics.jsonl, in the order of their coming."""
    lines = (line for line in metrics if line.get("kind") == "eval")
    return list(dict.fromkeys(name for line in lines for name in line if name not in _NO_SCORES))


def _is_part(name: str) -> bool:
    return name.startswith((*_PARTS, "best_"))


def _in_words(name: str) -> str:
    return _WORDS.get(name) or " ".join(_SHORT.get(word, word) for word in name.split("_"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
