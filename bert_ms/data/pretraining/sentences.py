"""Cutting a paragraph into sentences by its punctuation, in English and Chinese."""

from __future__ import annotations

import re

# What is closed after a full stop still belongs to its sentence.
_CLOSING = "\"'”’»)\\]】》」』）"
_CHINESE_END = f"[。！？；…]+[{_CLOSING}]*"
_LATIN_END = f"[.!?]+[{_CLOSING}]*(?=\\s)"
_END = re.compile(f"{_CHINESE_END}|{_LATIN_END}")
# Before a full stop these stand inside a sentence, as single letters do.
_ABBREVIATIONS = frozenset(
    re.findall(
        r"\S+",
        "mr mrs ms dr prof st mt no nos vs etc al fig figs vol pp jr sr inc ltd co corp gen col lt sgt capt rev hon "
        "gov sen rep jan feb mar apr jun jul aug sep sept oct nov dec e.g i.e cf ca approx",
    )
)
_LAST_WORD = re.compile(r"([^\W\d_]+(?:\.[^\W\d_]+)*)\.$")


def split(paragraph: str) -> list[str]:
    """The sentences of a paragraph, without the blanks around them; none of its other characters is lost.

    A sentence ends with one of 。！？；… wherever they stand, or with . ! ? before a blank, in both cases with the
    quotes and brackets that close after it. A full stop ends none after a single letter (initials), after a usual
    abbreviation (Dr., e.g.), nor where the next word begins in lower case. Good enough to find places where a text may
    be cut.

    >>> split("Dr. A. Smith came. “Why?” he asked! 天气好。我们走吧")
    ['Dr. A. Smith came.', '“Why?” he asked!', '天气好。', '我们走吧']
    """
    sentences, begin = [], 0
    for found in _END.finditer(paragraph):
        if not _ends(paragraph, begin, found):
            continue
        if sentence := paragraph[begin : found.end()].strip():
            sentences.append(sentence)
        begin = found.end()
    if rest := paragraph[begin:].strip():
        sentences.append(rest)
    return sentences


def _ends(paragraph: str, begin: int, found: re.Match[str]) -> bool:
    mark = found[0]
    if mark[0] not in ".!?":
        return True
    following = paragraph[found.end() : found.end() + 20].lstrip()[:1]
    if following.islower():
        return False
    if mark != ".":
        return True
    # " . " is a full stop in text that was tokenised before, whatever stands before it
    last = _LAST_WORD.search(paragraph[max(begin, found.start() - 20) : found.end()])
    return last is None or not (len(last[1]) == 1 or last[1].lower() in _ABBREVIATIONS)
