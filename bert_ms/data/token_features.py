"""Sentences in words as rows of tokens, each word judged by its first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import chain

import numpy as np

from bert_ms.data import ragged
from bert_ms.errors import DataError
from bert_ms.records import IGNORE_INDEX, LABELS, SILENT_WORDS, Features, TokenExample
from bert_ms.tokenization import Tokenizer

SPECIAL_TOKENS = 2
# Changes when the same arguments begin to give other features, so that no cache outlives it.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class _Words:
    """All words of all sentences, one after the other, with where their tokens lie.

    Attributes:
        splits: int64 [sentences + 1], where each sentence's words begin.
        starts: int64 [words + 1], where each word's tokens begin, sentences one after the other.
        ids: int32 [tokens].
    """

    splits: np.ndarray
    starts: np.ndarray
    ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Words `first` to `end` of each row, of which it judges `own_first` to `own_end`; int64 [R] each."""

    example: np.ndarray
    first: np.ndarray
    end: np.ndarray
    own_first: np.ndarray
    own_end: np.ndarray


def featurize(
    examples: Sequence[TokenExample],
    tokenizer: Tokenizer,
    *,
    max_length: int = 128,
    stride: int = 32,
    labels: Sequence[str] | None = None,
    workers: int = 0,
) -> Features:
    """Tokenise sentences word by word, cut into windows where they are too long.

        [CLS] Ma  ##gda lives in Łó  ##dź [SEP]
              B-P -100  O     O  B-L -100

    Windows begin and end between words. Each word is judged once, by its first token, in the window that has most
    around it: there `in_context` is 1 and, with `labels`, the label stands; all other tokens have -100. Of a word that
    is longer than a window the end is cut. A word that the tokenizer maps to nothing is in no row.

    Args:
        examples: the sentences.
        tokenizer: of the network.
        max_length: longest row, in tokens.
        stride: tokens that two windows share, at most half of a window.
        labels: of the network, in order: also give `labels` int32 [T] of the tags. None gives rows without.
        workers: 1 tokenises on one core, anything else on all; the result is the same.

    Returns:
        Features; in `meta` the arguments, and as `silent_words` the words without a token: their numbers, counted
        through all sentences.

    Raises:
        DataError: max_length leaves no room; with labels a sentence without tags, or a tag that is none of them.

    Source: Devlin et al. 2019, section 5.3 (first tokens); windows are ours.
    """
    if max_length <= SPECIAL_TOKENS:
        raise DataError(f"max_length is {max_length}, expected more than the {SPECIAL_TOKENS} special tokens.")
    room = max_length - SPECIAL_TOKENS
    words = _tokenize(examples, tokenizer, room, parallel=workers != 1)
    rows = _lay_out(words, room, min(max(stride, 0), room // 2))
    features, judging, judged = _assemble(words, rows, tokenizer)
    if labels is not None:
        column = np.full(len(features.input_ids), IGNORE_INDEX, np.int32)
        column[judging] = _label_ids(examples, labels)[judged]
        features = dataclasses.replace(features, labels={LABELS: column})
    meta = {
        "kind": "token-classification",
        "max_length": max_length,
        "stride": stride,
        "labels": None if labels is None else list(labels),
        "tokenizer": tokenizer.fingerprint(),
        "pad_token_id": tokenizer.pad_token_id,
        "examples": len(examples),
        SILENT_WORDS: np.flatnonzero(np.diff(words.starts) == 0).tolist(),
    }
    return dataclasses.replace(features, meta=meta)


def _tokenize(examples: Sequence[TokenExample], tokenizer: Tokenizer, room: int, *, parallel: bool) -> _Words:
    """Every word once, however often it stands in the text."""
    index: dict[str, int] = {}
    all_words = chain.from_iterable(example.words for example in examples)
    which = np.fromiter((index.setdefault(word, len(index)) for word in all_words), np.int64)
    tokens = tokenizer.encode_ragged(list(index), offsets=False, parallel=parallel)
    lengths = np.minimum(np.diff(tokens.row_splits), room)[which]
    source = ragged.ranges(tokens.row_splits[which], lengths)
    return _Words(
        ragged.splits(np.array([len(example.words) for example in examples], np.int64)),
        ragged.splits(lengths),
        tokens.ids[source],
    )


def _lay_out(words: _Words, room: int, overlap: int) -> _Rows:
    begins, ends = words.splits[:-1], words.splits[1:]
    is_long = words.starts[ends] - words.starts[begins] > room
    short = np.flatnonzero(~is_long)
    parts = [(short, begins[short], ends[short], begins[short], ends[short])]
    for example in np.flatnonzero(is_long).tolist():
        first, end = _windows(words.starts, int(begins[example]), int(ends[example]), room, overlap)
        middle = (words.starts[first[1:]] + words.starts[end[:-1]]) / 2
        borders = np.clip(np.searchsorted(words.starts, middle), first[1:], end[:-1])
        owner = np.full(len(first), example)
        parts.append((owner, first, end, np.append(first[0], borders), np.append(borders, end[-1])))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return _Rows(*(column[order] for column in columns))


def _windows(starts: np.ndarray, begin: int, stop: int, room: int, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """First words of the windows over a long sentence, and the words that they end before."""
    firsts, ends = [], []
    first = begin
    while True:
        end = min(int(np.searchsorted(starts, starts[first] + room, side="right")) - 1, stop)
        firsts.append(first)
        ends.append(end)
        if end >= stop:
            return np.array(firsts, np.int64), np.array(ends, np.int64)
        first = min(max(int(np.searchsorted(starts, starts[end] - overlap)), first + 1), end)


def _assemble(words: _Words, rows: _Rows, tokenizer: Tokenizer) -> tuple[Features, np.ndarray, np.ndarray]:
    """Rows of tokens, with the places of the tokens that judge, and the words that they judge."""
    begins = words.starts[rows.first]
    lengths = words.starts[rows.end] - begins
    row_splits = ragged.splits(lengths + SPECIAL_TOKENS)
    input_ids = np.full(row_splits[-1], tokenizer.sep_token_id, np.int32)
    input_ids[row_splits[:-1]] = tokenizer.cls_token_id
    input_ids[ragged.ranges(row_splits[:-1] + 1, lengths)] = words.ids[ragged.ranges(begins, lengths)]
    owned = rows.own_end - rows.own_first
    judged = ragged.ranges(rows.own_first, owned)
    judging = words.starts[judged] + np.repeat(row_splits[:-1] + 1 - begins, owned)
    is_heard = np.diff(words.starts)[judged] > 0
    judged, judging = judged[is_heard], judging[is_heard]
    in_context = np.zeros(row_splits[-1], np.int8)
    in_context[judging] = 1
    features = Features(
        input_ids,
        np.zeros(row_splits[-1], np.int32),
        row_splits,
        example_index=rows.example.astype(np.int32),
        in_context=in_context,
    )
    return features, judging, judged


def _label_ids(examples: Sequence[TokenExample], labels: Sequence[str]) -> np.ndarray:
    """Numbers of all tags, int32 [words]."""
    ids = {label: number for number, label in enumerate(labels)}
    for example in examples:
        if example.tags is None:
            raise DataError(f"sentence {example.id!r} has no tags to learn.")
        for tag in example.tags:
            if tag not in ids:
                raise DataError(f"sentence {example.id!r} has the tag {tag!r}, expected one of {', '.join(labels)}.")
    return np.fromiter((ids[tag] for example in examples for tag in example.tags or ()), np.int32)
