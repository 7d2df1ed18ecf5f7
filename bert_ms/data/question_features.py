"""Questions on passages as windows of tokens, with the places of the answers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bert_ms.data import answer_spans, ragged
from bert_ms.data.answer_spans import Passages
from bert_ms.errors import DataError
from bert_ms.records import END_POSITIONS, START_POSITIONS, Features, QuestionExample
from bert_ms.tokenization import RaggedTokens, Tokenizer
from bert_ms.tokenization.windows import count_windows

logger = logging.getLogger(__name__)

Windows = Literal["overlap", "step"]
WINDOWS = ("overlap", "step")
SPECIAL_TOKENS = 3
# Changes when the same arguments begin to give other features, so that no cache outlives it.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Where each window lies: R rows, each with `length` tokens of its example's passage from token `start` on."""

    example: np.ndarray
    start: np.ndarray
    length: np.ndarray
    question_length: np.ndarray


def featurize(
    examples: Sequence[QuestionExample],
    tokenizer: Tokenizer,
    *,
    max_length: int = 384,
    stride: int = 128,
    windows: Windows = "overlap",
    max_query_length: int | None = 64,
    with_labels: bool = False,
    keep_offsets: bool | None = None,
    workers: int = 0,
) -> Features:
    """Tokenise questions with their passages, cut into windows where a passage is too long.

    A row is `[CLS] question [SEP] part of the passage [SEP]`, with type 0 up to the first [SEP] and 1 after it. Rows
    keep the order of the examples, and of the windows in the passage. Blanks before a question are dropped.

    Every passage and every question is tokenised once, however many rows they are in.

    Args:
        examples: the questions.
        tokenizer: of the network.
        max_length: longest row, in tokens.
        stride: in tokens; see `windows`.
        windows: "overlap": two windows share `stride` tokens, as Hugging Face cuts them; "step": one begins `stride`
            tokens after the other, as google-research does.
        max_query_length: longer questions lose their end; None does not cut.
        with_labels: also give `start_positions` and `end_positions` of the first answer, int32 [rows]; 0, the place of
            [CLS], where the window does not hold all of it or there is none. With windows="step", examples whose answer
            is not found again after splitting at white space are left out, as google-research does.
        keep_offsets: keep what decoding needs (`offsets`, `in_context`); None keeps it where there are no labels.
        workers: 1 tokenises on one core, anything else on all; the result is the same.

    Returns:
        Features, in `meta` the arguments, the tokenizer's fingerprint and the ids of examples left out.

    Raises:
        DataError: arguments that make no sense, a question that leaves no room for its passage, or with labels an
            example that has no answer to learn, or none whose answer any window holds.

    Source: windows "overlap" and its labels are those of run_qa.py in huggingface/transformers (which puts an answer
    that starts in the last token of a window at the end of the padding; here it is put where it is); "step" those of
    run_squad.py in google-research/bert (where a passage without any token gets no window; here it gets one).
    """
    _check_arguments(max_length, stride, windows, max_query_length)
    parallel = workers != 1
    passages, passage_of, questions = _tokenize(examples, tokenizer, parallel=parallel)
    asked = np.minimum(np.diff(questions.row_splits), max_query_length or max_length)
    available = np.diff(passages.tokens.row_splits)[passage_of]
    room = max_length - SPECIAL_TOKENS - asked
    advance = room - stride if windows == "overlap" else np.minimum(stride, room)
    _check_room(examples, asked, available, room, advance, max_length, stride)

    keep, spans = np.ones(len(examples), bool), None
    if with_labels:
        _check_answers(examples)
        find = answer_spans.of_characters if windows == "overlap" else answer_spans.of_words
        spans, keep = find(examples, passages, passage_of, tokenizer, parallel=parallel)
    rows = _lay_out(np.where(keep, count_windows(available, room, advance), 0), asked, available, room, advance)
    features = _assemble(rows, questions, passages, passage_of, tokenizer)
    if spans is not None:
        features = dataclasses.replace(features, labels=_labels(rows, spans))
        _check_learnable(examples, features, max_length)
    if keep_offsets or (keep_offsets is None and not with_labels):
        features = _with_places(features, rows, passages, passage_of)
    meta = {
        "kind": "question-answering",
        "max_length": max_length,
        "stride": stride,
        "windows": windows,
        "max_query_length": max_query_length,
        "tokenizer": tokenizer.fingerprint(),
        "pad_token_id": tokenizer.pad_token_id,
        "examples": len(examples),
        "dropped": _dropped(examples, keep),
    }
    return dataclasses.replace(features, meta=meta)


def _tokenize(
    examples: Sequence[QuestionExample], tokenizer: Tokenizer, *, parallel: bool
) -> tuple[Passages, np.ndarray, RaggedTokens]:
    index: dict[str, int] = {}
    passage_of = np.array([index.setdefault(e.context, len(index)) for e in examples], np.int64)
    texts = list(index)
    passages = Passages(texts, tokenizer.encode_ragged(texts, parallel=parallel))
    questions = tokenizer.encode_ragged([e.question.lstrip() for e in examples], offsets=False, parallel=parallel)
    return passages, passage_of, questions


def _lay_out(
    counts: np.ndarray, asked: np.ndarray, available: np.ndarray, room: np.ndarray, advance: np.ndarray
) -> _Rows:
    example = np.repeat(np.arange(len(counts)), counts)
    start = ragged.ranges(np.zeros(len(counts), np.int64), counts) * advance[example]
    return _Rows(example, start, np.minimum(room[example], available[example] - start), asked[example])


def _dropped(examples: Sequence[QuestionExample], keep: np.ndarray) -> list[str]:
    dropped = [examples[i].id for i in np.flatnonzero(~keep)]
    if dropped:
        shown = ", ".join(dropped[:5]) + (", ..." if len(dropped) > 5 else "")
        logger.warning("%d examples left out, their answer is not in the passage's words: %s", len(dropped), shown)
    return dropped


def _assemble(
    rows: _Rows, questions: RaggedTokens, passages: Passages, passage_of: np.ndarray, tokenizer: Tokenizer
) -> Features:
    row_splits = ragged.splits(rows.question_length + rows.length + SPECIAL_TOKENS)
    begin = row_splits[:-1]
    input_ids = np.full(row_splits[-1], tokenizer.sep_token_id, np.int32)  # both [SEP] stay as they are
    input_ids[begin] = tokenizer.cls_token_id
    asked = ragged.ranges(questions.row_splits[rows.example], rows.question_length)
    input_ids[ragged.ranges(begin + 1, rows.question_length)] = questions.ids[asked]
    token_type_ids = np.zeros(row_splits[-1], np.int32)
    second = begin + rows.question_length + 2
    token_type_ids[ragged.ranges(second, rows.length + 1)] = 1
    source = ragged.ranges(passages.tokens.row_splits[passage_of[rows.example]] + rows.start, rows.length)
    input_ids[ragged.ranges(second, rows.length)] = passages.tokens.ids[source]
    return Features(input_ids, token_type_ids, row_splits, example_index=rows.example.astype(np.int32))


def _with_places(features: Features, rows: _Rows, passages: Passages, passage_of: np.ndarray) -> Features:
    total = features.row_splits[-1]
    offsets, in_context = np.zeros((total, 2), np.int32), np.zeros(total, np.int8)
    places = _context_places(features, rows)
    source = ragged.ranges(passages.tokens.row_splits[passage_of[rows.example]] + rows.start, rows.length)
    assert passages.tokens.offsets is not None
    offsets[places] = passages.tokens.offsets[source]
    in_context[places] = 1
    return dataclasses.replace(features, offsets=offsets, in_context=in_context)


def _context_places(features: Features, rows: _Rows) -> np.ndarray:
    return ragged.ranges(features.row_splits[:-1] + rows.question_length + 2, rows.length)


def _labels(rows: _Rows, spans: np.ndarray) -> dict[str, np.ndarray]:
    first, last = spans[rows.example].T
    inside = (first >= rows.start) & (last < rows.start + rows.length)
    shift = rows.question_length + 2 - rows.start
    positions = [np.where(inside, token + shift, 0).astype(np.int32) for token in (first, last)]
    return dict(zip((START_POSITIONS, END_POSITIONS), positions, strict=True))


def _check_arguments(max_length: int, stride: int, windows: str, max_query_length: int | None) -> None:
    if windows not in WINDOWS:
        raise DataError(f"windows is {windows!r}, expected one of {', '.join(WINDOWS)}.")
    if max_length <= SPECIAL_TOKENS:
        raise DataError(
            f"max_length is {max_length}, expected more than {SPECIAL_TOKENS}, for the special tokens alone."
        )
    if stride < (1 if windows == "step" else 0):
        raise DataError(f"stride is {stride}, expected at least {1 if windows == 'step' else 0}.")
    if max_query_length is not None and max_query_length < 1:
        raise DataError(f"max_query_length is {max_query_length}, expected at least 1, or None.")


def _check_room(
    examples: Sequence[QuestionExample],
    asked: np.ndarray,
    available: np.ndarray,
    room: np.ndarray,
    advance: np.ndarray,
    max_length: int,
    stride: int,
) -> None:
    stuck = np.flatnonzero((room < np.minimum(available, 1)) | ((available > room) & (advance < 1)))
    if len(stuck):
        i = int(stuck[0])
        raise DataError(
            f"question {examples[i].id!r} takes {asked[i]} of max_length {max_length} tokens, which leaves "
            f"{max(int(room[i]), 0)} for its passage of {available[i]} tokens, and windows cannot move on with stride "
            f"{stride} ({len(stuck)} such questions). Raise max_length, lower stride, or set max_query_length (64 is "
            f"usual)."
        )


def _check_learnable(examples: Sequence[QuestionExample], features: Features, max_length: int) -> None:
    answered = sum(bool(example.answers) for example in examples)
    if answered and not features.labels[END_POSITIONS].any():
        raise DataError(
            f"none of the {answered:,} answers lies whole in a window of max_length {max_length} tokens, so that there "
            f"is nothing to learn but silence: raise data.max_length, lower data.max_query_length, or look at the "
            f"answers."
        )


def _check_answers(examples: Sequence[QuestionExample]) -> None:
    for example in examples:
        if not example.answers and not example.is_impossible:
            raise DataError(
                f"question {example.id!r} has no answer to learn, and is_impossible is not set. Leave it out, or mark "
                f"it with is_impossible if its passage does not hold the answer."
            )
