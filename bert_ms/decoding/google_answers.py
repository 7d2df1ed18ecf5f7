"""Answers found and written as google-research's run_squad.py does it, for results that are to equal its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from bert_ms.compat import require
from bert_ms.decoding.spans import LogitRows
from bert_ms.records import AnswerCandidate, Features, QuestionExample

_WORD = re.compile(r"[^ \t\r\n\u202f]+")  # what separates words in run_squad.py; a no-break space does not
_LENGTH_BONUS = 0.01  # for the tokens of a longer window, in the choice of the window that gives most context


class GoogleAnswers:
    """Candidates by the rules of run_squad.py.

    Args:
        rows: checked logits.
        vocabulary: tokens by id.
        do_lower_case: the tokenizer's casing.

    Source: write_predictions and get_final_text of google-research/bert run_squad.py.
    """

    def __init__(self, rows: LogitRows, *, vocabulary: Sequence[str], do_lower_case: bool):
        tokenizers = require("tokenizers", purpose="rebuild answers as run_squad.py does")
        self._rows = rows
        self._vocabulary = vocabulary
        self._normalizer = tokenizers.normalizers.BertNormalizer(lowercase=do_lower_case)
        self._splitter = tokenizers.pre_tokenizers.BertPreTokenizer()

    def candidates(
        self,
        examples: Sequence[QuestionExample],
        *,
        n_best: int,
        max_answer_length: int,
        nulls: Sequence[tuple[float, float]] | None,
    ) -> Iterator[list[AnswerCandidate]]:
        """For each example its best different texts, best first; probabilities are not set yet.

        Args:
            examples: the questions.
            n_best: starts and ends looked at in a window, and texts kept.
            max_answer_length: in tokens.
            nulls: start and end logit of "no answer" for each example, which then is a candidate.
        """
        order = np.argsort(self._rows.example_index, kind="stable")
        bounds = np.searchsorted(self._rows.example_index[order], np.arange(len(examples) + 1))
        for index, example in enumerate(examples):
            windows = order[bounds[index] : bounds[index + 1]].tolist()
            null = None if nulls is None else nulls[index]
            yield self._of_example(example, windows, n_best, max_answer_length, null)

    def _of_example(
        self,
        example: QuestionExample,
        windows: list[int],
        n_best: int,
        max_length: int,
        null: tuple[float, float] | None,
    ) -> list[AnswerCandidate]:
        spans = self._spans(windows, n_best, max_length)
        if null is not None:
            spans.append((-1, -1, *null))
        spans.sort(key=lambda span: -(span[2] + span[3]))  # stable: equal scores stay in the order they were found
        words = list(_WORD.finditer(example.context))
        word_starts = [word.start() for word in words]
        chosen: dict[str, AnswerCandidate] = {}
        for first, last, start_logit, end_logit in spans:
            if len(chosen) == n_best:
                break
            text, start, end = "", 0, 0
            if first >= 0:
                start, end = self._offsets(first, last)
                from_word, to_word = (
                    np.searchsorted(word_starts, [start, self._offsets(last, last)[0]], side="right") - 1
                )
                original = " ".join(word.group() for word in words[from_word : to_word + 1])
                text = self._final_text(self._token_text(first, last), original)
            if first < 0 or text not in chosen:
                chosen.setdefault(text, AnswerCandidate(text, start, end, 0.0, start_logit, end_logit))
        return list(chosen.values()) or [AnswerCandidate("empty", 0, 0, 0.0, 0.0, 0.0)]

    def _spans(self, windows: list[int], n_best: int, max_length: int) -> list[tuple[int, int, float, float]]:
        """First and last token (flat) of every span that is allowed, with its logits, in the order of run_squad.py."""
        features = self._rows.features
        assert features.in_context is not None
        spans: list[tuple[int, int, float, float]] = []
        for window, most_context in zip(windows, widest_context(features, windows), strict=True):
            low, high = int(features.row_splits[window]), int(features.row_splits[window + 1])
            start_logits, end_logits = self._logits(window, low, high)
            starts = np.argsort(-start_logits, kind="stable")[:n_best]
            ends = np.argsort(-end_logits, kind="stable")[:n_best]
            usable = features.in_context[low:high] > 0
            starts = starts[starts < high - low]
            starts = starts[usable[starts] & most_context[starts]]
            ends = ends[ends < high - low]
            ends = ends[usable[ends]]
            length = ends[None, :] - starts[:, None] + 1
            which, to = np.nonzero((length > 0) & (length <= max_length))
            first, last = starts[which], ends[to]
            spans += zip((first + low).tolist(), (last + low).tolist(), start_logits[first].tolist(),
                         end_logits[last].tolist(), strict=True)  # fmt: skip
        return spans

    def _logits(self, window: int, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Of one window, padding included where it is there: run_squad.py lets padding take places among the n best."""
        start, end = self._rows.start, self._rows.end
        if start.ndim == 1:
            return start[low:high].astype(np.float64), end[low:high].astype(np.float64)
        return start[window].astype(np.float64), end[window].astype(np.float64)

    def _offsets(self, first: int, last: int) -> tuple[int, int]:
        offsets = self._rows.features.offsets
        assert offsets is not None
        return int(offsets[first, 0]), int(offsets[last, 1])

    def _token_text(self, first: int, last: int) -> str:
        """The span's tokens, joined to words."""
        ids = self._rows.features.input_ids[first : last + 1].tolist()
        joined = " ".join(self._vocabulary[i] for i in ids)
        return " ".join(joined.replace(" ##", "").replace("##", "").split())

    def _final_text(self, token_text: str, original: str) -> str:
        """The part of the original words that the tokens stand for; all of the words where they cannot be aligned.

        Both texts are compared without spaces: the same number of characters is taken as the same characters.
        """
        tokenised = " ".join(
            word for word, _ in self._splitter.pre_tokenize_str(self._normalizer.normalize_str(original))
        )
        at = tokenised.find(token_text)
        places = [i for i, character in enumerate(original) if character != " "]
        if at < 0 or not token_text or len(places) != len(tokenised.replace(" ", "")):
            return original
        before = len(tokenised[:at].replace(" ", ""))
        size = len(token_text.replace(" ", ""))
        return original[places[before] : places[before + size - 1] + 1]


def widest_context(features: Features, windows: Sequence[int]) -> list[np.ndarray]:
    """For each window of one example: which of its tokens have more context there than in any other window.

    Context is the lesser of the tokens to the left and to the right; longer windows get a small bonus, and the first of
    equal windows wins. How far each window has moved on is seen from the tokens that it shares with the one before.

    Returns:
        bool [tokens of the window] each; False for tokens outside the context.

    Source: _check_is_max_context of run_squad.py.
    """
    positions, inside = [], []
    moved, previous = 0, np.zeros((0, 3), np.int64)
    for window in windows:
        tokens, usable = _context_tokens(features, window)
        moved += _shift(previous, tokens)
        positions.append(moved + np.arange(len(tokens)))
        inside.append(usable)
        previous = tokens
    length = max((int(p[-1]) + 1 for p in positions if len(p)), default=0)
    best, owner = np.full(length, -1.0), np.full(length, -1)
    for number, position in enumerate(positions):
        place = np.arange(len(position))
        score = np.minimum(place, place[::-1]) + _LENGTH_BONUS * len(position)
        better = score > best[position]
        best[position[better]], owner[position[better]] = score[better], number
    result = []
    for number, (position, usable) in enumerate(zip(positions, inside, strict=True)):
        row = np.zeros(len(usable), bool)
        row[usable] = owner[position] == number
        result.append(row)
    return result


def _context_tokens(features: Features, window: int) -> tuple[np.ndarray, np.ndarray]:
    """(id, start, end) of a window's context tokens, and which of its tokens they are."""
    assert features.offsets is not None and features.in_context is not None
    row = slice(int(features.row_splits[window]), int(features.row_splits[window + 1]))
    usable = features.in_context[row] > 0
    return np.column_stack([features.input_ids[row], features.offsets[row]])[usable], usable


def _shift(previous: np.ndarray, current: np.ndarray) -> int:
    """By how many tokens the current window starts after the previous one."""
    if not len(previous) or not len(current):
        return len(previous)
    for at in np.flatnonzero((previous == current[0]).all(axis=1)).tolist():
        overlap = previous[at:]
        if at and len(overlap) <= len(current) and np.array_equal(overlap, current[: len(overlap)]):
            return at
    return len(previous)
