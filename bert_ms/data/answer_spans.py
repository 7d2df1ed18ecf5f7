"""Which tokens of a passage are the answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bert_ms.records import QuestionExample
from bert_ms.tokenization import RaggedTokens, Tokenizer

# Only these separate words in run_squad.py.
_WHITE_SPACE = (0x20, 0x09, 0x0D, 0x0A, 0x202F)
_WHITE_SPACE_RUN = re.compile("[" + "".join(map(chr, _WHITE_SPACE)) + "]+")
# No window holds this token: it stands for "no answer".
NOWHERE = (-1, -1)


class Passages(NamedTuple):
    """The different passages of a data set, tokenised.

    Attributes:
        texts: each passage once.
        tokens: their tokens, with offsets.
    """

    texts: list[str]
    tokens: RaggedTokens


def of_characters(
    examples: Sequence[QuestionExample],
    passages: Passages,
    passage_of: np.ndarray,
    tokenizer: Tokenizer,
    *,
    parallel: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that the first answer's characters lie in, as huggingface/transformers' run_qa.py finds them.

    Returns:
        int64 [examples, 2], first and last token of the passage, `NOWHERE` without an answer or where the answer ends
        after the last token; bool [examples], all True.
    """
    answers = [example.answers[0] if example.answers else None for example in examples]
    start = np.array([a.start if a else 0 for a in answers], np.int64)
    end = np.array([a.start + len(a.text) if a else 0 for a in answers], np.int64)
    lookup = _Lookup(passages)
    first = lookup.starts_before(passage_of, start)
    last = lookup.ends_after(passage_of, end)
    count = np.diff(passages.tokens.row_splits)[passage_of]
    known = np.array([a is not None for a in answers], bool) & (first >= 0) & (last < count)
    return np.where(known[:, None], np.stack([first, np.maximum(last, first)], 1), NOWHERE), np.ones(
        len(examples), bool
    )


def of_words(
    examples: Sequence[QuestionExample],
    passages: Passages,
    passage_of: np.ndarray,
    tokenizer: Tokenizer,
    *,
    parallel: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of the words that hold the first answer, narrowed to it where it begins or ends inside a word.

    Returns:
        int64 [examples, 2], first and last token of the passage, `NOWHERE` without an answer; bool [examples], False
        where the answer is not found in its words.

    Source: read_squad_examples, convert_examples_to_features and _improve_answer_span of run_squad.py.
    """
    lookup = _Lookup(passages)
    texts = [example.answers[0].text if example.answers else "" for example in examples]
    answer_tokens = tokenizer.encode_ragged(texts, offsets=False, parallel=parallel)
    spans = np.full((len(examples), 2), NOWHERE, np.int64)
    keep = np.ones(len(examples), bool)
    words: dict[int, _Words] = {}
    for i, example in enumerate(examples):
        if not example.answers:
            continue
        passage = int(passage_of[i])
        if passage not in words:
            words[passage] = _Words.of(passages.texts[passage])
        found = words[passage].around(example.context, example.answers[0].start, example.answers[0].text)
        if found is None:
            keep[i] = False
            continue
        begin, beyond = found
        ids = passages.tokens.ids[slice(*passages.tokens.row_splits[passage : passage + 2])]
        first = lookup.first_from(passage, begin)
        last = (lookup.first_from(passage, beyond) if beyond is not None else len(ids)) - 1
        wanted = answer_tokens.ids[slice(*answer_tokens.row_splits[i : i + 2])]
        if last >= first:
            spans[i] = _narrow(ids, first, last, wanted)
    return spans, keep


class _Words(NamedTuple):
    """Words of a passage: `of_character` int64 [characters], which word a character is in (white space: the one before
    it); `starts` int64 [words], the character that a word begins at."""

    of_character: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, text: str) -> _Words:
        """The words of a passage."""
        white = np.isin(np.frombuffer(text.encode("utf-32-le"), np.uint32), _WHITE_SPACE)
        begins = ~white & np.concatenate([[True], white[:-1]])
        return cls(np.cumsum(begins) - 1, np.flatnonzero(begins))

    def around(self, text: str, start: int, answer: str) -> tuple[int, int | None] | None:
        """Characters where the answer's words begin and where the next word does (None: there is none after them);
        None where the answer is not in its words."""
        first, last = self.of_character[start], self.of_character[start + len(answer) - 1]
        begin = int(self.starts[first])
        beyond = int(self.starts[last + 1]) if last + 1 < len(self.starts) else None
        there = " ".join(_WHITE_SPACE_RUN.split(text[begin:beyond].rstrip("".join(map(chr, _WHITE_SPACE)))))
        return (begin, beyond) if " ".join(answer.split()) in there else None


class _Lookup:
    """Finds tokens by character in all passages at once."""

    def __init__(self, passages: Passages):
        assert passages.tokens.offsets is not None
        self.row_splits = passages.tokens.row_splits
        self.wide = max(map(len, passages.texts), default=0) + 2
        shift = np.repeat(np.arange(len(passages.texts)) * self.wide, np.diff(self.row_splits))
        # ascending within a passage already, save where accents change place; ascending over all of them by the shift
        self.starts, self.ends = (np.maximum.accumulate(shift + column) for column in passages.tokens.offsets.T)

    def starts_before(self, passage: np.ndarray, character: np.ndarray) -> np.ndarray:
        """Last token of the passage that starts at `character` or before; -1 where there is none."""
        return np.searchsorted(self.starts, passage * self.wide + character, "right") - 1 - self.row_splits[passage]

    def ends_after(self, passage: np.ndarray, character: np.ndarray) -> np.ndarray:
        """First token of the passage that ends at `character` or after; the number of tokens where there is none."""
        return np.searchsorted(self.ends, passage * self.wide + character, "left") - self.row_splits[passage]

    def first_from(self, passage: int, character: int) -> int:
        """First token of the passage that starts at `character` or after; the number of tokens where there is none."""
        return int(np.searchsorted(self.starts, passage * self.wide + character, "left") - self.row_splits[passage])


def _narrow(ids: np.ndarray, first: int, last: int, wanted: np.ndarray) -> tuple[int, int]:
    count = len(wanted)
    if 0 < count < last - first + 1:
        for begin in range(first, last - count + 2):
            if ids[begin] == wanted[0] and np.array_equal(ids[begin : begin + count], wanted):
                return begin, begin + count - 1
    return first, last
