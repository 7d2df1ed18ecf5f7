"""How alike an answer and a gold answer are: exact match and F1 of their words, as the official scripts count them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")

# Marks that CMRC2018's script leaves out. Of ASCII it leaves out fewer than SQuAD's: full stop, comma, quotes stay.
_CHINESE_MARKS = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_NO_CHINESE_MARKS = str.maketrans("", "", _CHINESE_MARKS)
_CHINESE = re.compile(r"[\u4e00-\u9fa5]")
_CHINESE_UNITS = re.compile(r"[\u4e00-\u9fa5]|\d+(?:[.,]\d+)*|[^\W\d\u4e00-\u9fa5]+\d*|[^\w\s]")


class Norms(NamedTuple):
    """A text as it is compared: `text` for exact match, `units` (words or characters) for F1."""

    text: str
    units: tuple[str, ...]


class Comparison(NamedTuple):
    """One way of comparing answers.

    Attributes:
        normalise: text -> Norms.
        overlap: number of units that two answers share.
    """

    normalise: Callable[[str], Norms]
    overlap: Callable[[Sequence[str], Sequence[str]], int]


def normalise_english(text: str) -> Norms:
    """Lower case, no ASCII punctuation, no articles, single spaces.

    Source: the official evaluation scripts of SQuAD v1.1 and v2.0 (the order matters: "a-b" becomes "ab").

    >>> normalise_english("The  Broncos' win!").text
    'broncos win'
    """
    bare = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    units = tuple(bare.split())
    return Norms(" ".join(units), units)


def normalise_chinese(text: str) -> Norms:
    """Lower case, without the marks of CMRC2018's script; Chinese characters count singly, other words whole.

    Source: evaluation script of CMRC2018, also used for DRCD. It splits what is not Chinese with NLTK's word tokenizer;
    here a number, a word (with digits behind it) and a mark are one unit each, which differs only in such things as
    English contractions.
    """
    bare = text.lower().strip().translate(_NO_CHINESE_MARKS)
    return Norms(bare, tuple(_CHINESE_UNITS.findall(bare)))


def shared_words(first: Sequence[str], second: Sequence[str]) -> int:
    """Words in common, each as often as both have it."""
    return sum((Counter(first) & Counter(second)).values())


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest run of units that both have, which is what CMRC2018 counts as overlap."""
    best = 0
    previous = [0] * (len(second) + 1)
    for unit in first:
        current = [0]
        current.extend(run + 1 if unit == other else 0 for run, other in zip(previous, second, strict=False))
        best = max(best, max(current))
        previous = current
    return best


def language_of(texts: Iterable[str]) -> str:
    """The way to compare answers in: "zh" if most of their letters are Chinese characters, else "en".

    >>> language_of(["光荣和ω", "1963年"]), language_of(["Force"]), language_of([])
    ('zh', 'en', 'en')
    """
    joined = "".join(texts)
    chinese = len(_CHINESE.findall(joined))
    return "zh" if chinese > sum(character.isalpha() for character in joined) / 2 else "en"


COMPARISONS = {
    "en": Comparison(normalise_english, shared_words),
    "zh": Comparison(normalise_chinese, longest_common_run),
}


def f1(gold: Sequence[str], predicted: Sequence[str], overlap: Callable[[Sequence[str], Sequence[str]], int]) -> float:
    """Harmonic mean of precision and recall of the predicted units, 0 to 1; 0 when either has none."""
    if not gold or not predicted:
        return 0.0
    shared = overlap(gold, predicted)
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(gold)
    return 2 * precision * recall / (precision + recall)
