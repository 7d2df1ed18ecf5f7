"""Cutting a corpus into examples: pairs of segments with a random second half the time, or packed full sentences."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

import numpy as np

from bert_ms.data.pretraining.corpus import Corpus

VERSION = 1  # of the code that cuts; changes when the same corpus gives other examples
# Columns of an example: two spans of the corpus (the second is empty in packed text), and whether it is any text.
FIRST, FIRST_LENGTH, SECOND, SECOND_LENGTH, IS_RANDOM = range(5)
COLUMNS = 5
SPECIAL_TOKENS = {True: 3, False: 2}  # of a pair: [CLS] a [SEP] b [SEP]; of packed text: [CLS] a [SEP]
_CHUNK = 65536


def cut(
    corpus: Corpus, *, pairs: bool, max_length: int, short_seq_prob: float, seed: int, copies: int = 1
) -> Iterator[np.ndarray]:
    """Examples in the order of the corpus, some ten thousands at a time.

    Args:
        corpus: the text.
        pairs: two segments each, for next-sentence prediction; otherwise one of packed sentences.
        max_length: longest example in tokens, special tokens included.
        short_seq_prob: part of the examples whose length is drawn between 2 and the longest.
        seed: of everything that is drawn.
        copies: how often the corpus is cut, each time by draws of its own.

    Yields:
        int64 [examples, 5], see the columns above.
    """
    longest = max_length - SPECIAL_TOKENS[pairs]
    for copy in range(copies):
        draw = random.Random(f"{seed} {copy}")
        made = (_pairs if pairs else _packed)(corpus, longest, short_seq_prob, draw)
        while chunk := list(islice(made, _CHUNK)):
            yield np.array(chunk, np.int64)


def _target(longest: int, short_seq_prob: float, draw: random.Random) -> int:
    return draw.randint(2, longest) if draw.random() < short_seq_prob else longest


def _pairs(
    corpus: Corpus, longest: int, short_seq_prob: float, draw: random.Random
) -> Iterator[tuple[int, int, int, int, int]]:
    """Sentences of a document are gathered up to the length wanted, and divided at random into the two segments.

    Half the time, and always where a single sentence is all there is, the second segment is one of another document;
    the sentences that it replaces are used again. Source: Devlin et al. 2019, section 3.1 and google-research/bert's
    description of its data script, which draws the length once a document, not once an example as is done here.
    """
    for document, begin, end in _stretches(corpus):
        starts, lengths = corpus.starts[begin:end].tolist(), corpus.lengths[begin:end].tolist()
        first = last = gathered = 0
        target = _target(longest, short_seq_prob, draw)
        while last < len(starts):
            gathered += lengths[last]
            last += 1
            if last < len(starts) and gathered < target:
                continue
            middle = draw.randint(first + 1, last - 1) if last - first > 1 else last
            a = (starts[first], sum(lengths[first:middle]))
            is_random = middle == last or draw.random() < 0.5
            if is_random:
                b = _elsewhere(corpus, document, target - a[1], draw)
                last = middle
            else:
                b = (starts[middle], sum(lengths[middle:last]))
            yield *_fitted(a, b, longest, draw), int(is_random)
            first, gathered, target = last, 0, _target(longest, short_seq_prob, draw)


def _elsewhere(corpus: Corpus, document: int, length: int, draw: random.Random) -> tuple[int, int]:
    """Sentences of another document from a random one on, up to a length; of the same one if there is no other."""
    count = corpus.document_count
    other = (document + draw.randrange(1, count)) % count if count > 1 else document
    begin, end = int(corpus.documents[other]), int(corpus.documents[other + 1])
    sentence = draw.randrange(begin, end)
    gathered, at = 0, sentence
    while at < end and (gathered < length or at == sentence):
        gathered += int(corpus.lengths[at])
        at += 1
    return int(corpus.starts[sentence]), gathered


def _fitted(a: tuple[int, int], b: tuple[int, int], longest: int, draw: random.Random) -> tuple[int, int, int, int]:
    """Both spans, without what is too much: token by token of the longer one, from a random end."""
    spans = [list(a), list(b)]
    while spans[0][1] + spans[1][1] > longest:
        span = spans[0] if spans[0][1] > spans[1][1] else spans[1]
        span[0] += draw.random() < 0.5
        span[1] -= 1
    return spans[0][0], spans[0][1], spans[1][0], spans[1][1]


def _packed(
    corpus: Corpus, longest: int, short_seq_prob: float, draw: random.Random
) -> Iterator[tuple[int, int, int, int, int]]:
    """As many whole sentences as fit, across documents, whose separators stay between them.

    A sentence that does not fit by itself is cut. Source: Liu et al. 2019 (RoBERTa), section 4.2, FULL-SENTENCES.
    """
    begin = end = int(corpus.starts[0])
    target = _target(longest, short_seq_prob, draw)
    for start, length in _sentences(corpus):
        if end > begin and start + length - begin > target:
            yield begin, end - begin, 0, 0, 0
            begin, target = start, _target(longest, short_seq_prob, draw)
        end = start + length
        while end - begin > target:
            yield begin, target, 0, 0, 0
            begin, target = begin + target, _target(longest, short_seq_prob, draw)
    if end > begin:
        yield begin, end - begin, 0, 0, 0


def _sentences(corpus: Corpus) -> Iterator[tuple[int, int]]:
    for begin in range(0, len(corpus.starts), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        yield from zip(corpus.starts[part].tolist(), corpus.lengths[part].tolist(), strict=True)


def _stretches(corpus: Corpus) -> Iterator[tuple[int, int, int]]:
    """Each document with its first sentence and the one after its last; an endless one comes in parts."""
    for document in range(corpus.document_count):
        first, after = int(corpus.documents[document]), int(corpus.documents[document + 1])
        for begin in range(first, after, _CHUNK):
            yield document, begin, min(begin + _CHUNK, after)
