"""From start and end logits to the answers of questions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from bert_ms.decoding.answer_files import write_predictions
from bert_ms.decoding.google_answers import GoogleAnswers
from bert_ms.decoding.spans import LogitRows, Spans, best_spans, probabilities
from bert_ms.errors import DataError, unknown
from bert_ms.records import AnswerCandidate, Features, QuestionExample, QuestionPrediction

__all__ = ["STYLES", "choose", "decode", "write_predictions"]

STYLES = ("spans", "google")


def decode(
    examples: Sequence[QuestionExample],
    features: Features,
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    *,
    n_best: int = 20,
    max_answer_length: int = 30,
    with_negatives: bool = False,
    null_threshold: float = 0.0,
    style: str = "spans",
    vocabulary: Sequence[str] = (),
    do_lower_case: bool = True,
) -> list[QuestionPrediction]:
    """The n best answers of every question, over all its windows.

    A span's score is start logit + end logit, seen in whichever window gives most. "No answer" scores start + end logit
    of the first token ([CLS]) in the window that gives LEAST: one window that sees the answer is enough.
    Equal scores are ordered by window, then start, then end, so results do not depend on the machine.

    Args:
        examples: the questions, as featurised.
        features: their windows, with `example_index`, `offsets` and `in_context`.
        start_logits: float [T], row after row as the features (`row_splits`), or float [rows, S] padded on the right.
        end_logits: the same form.
        n_best: different answer texts kept for each question, at least 1.
        max_answer_length: longest answer in tokens.
        with_negatives: "no answer" is a candidate (SQuAD v2.0).
        null_threshold: "no answer" is chosen where its score exceeds the best span's by more than this.
        style: "spans" looks at every span of context tokens and cuts the answer from the original context by character
            offsets. "google" does what google-research's run_squad.py does: n_best starts times n_best ends a window
            over all positions, starts only where the window gives the token most context, texts rebuilt by aligning
            the tokens' text with the original words.
        vocabulary: tokens by id; "google" needs it.
        do_lower_case: the tokenizer's casing; "google" needs it.

    Returns:
        One prediction an example, in order; a question without any window or span gets an empty answer.

    Raises:
        DataError: arrays that do not fit the features, or logits that are not finite.
    """
    if style not in STYLES:
        raise DataError(unknown("decoding style", style, STYLES))
    for name, value in (("n_best", n_best), ("max_answer_length", max_answer_length)):
        if value < 1:
            raise DataError(f"{name} is {value}: expected at least 1.")
    rows = LogitRows.of(features, start_logits, end_logits)
    owners = int(rows.example_index.max(initial=-1)) + 1
    if owners > len(examples):
        raise DataError(
            f"the features belong to {owners} or more examples, but {len(examples)} were given: "
            "decode with the examples that were featurised."
        )
    nulls = rows.null_scores(len(examples)) if with_negatives else None
    if style == "google":
        if not vocabulary:
            raise DataError(
                "decoding style 'google' rebuilds texts from tokens: give the tokenizer's vocabulary as well."
            )
        google = GoogleAnswers(rows, vocabulary=vocabulary, do_lower_case=do_lower_case)
        found = google.candidates(examples, n_best=n_best, max_answer_length=max_answer_length, nulls=nulls)
    else:
        spans = best_spans(rows, n_best=n_best, max_answer_length=max_answer_length)
        found = _candidates(examples, spans, n_best)
    return [
        _prediction(example, candidates, None if nulls is None else nulls[index], null_threshold)
        for index, (example, candidates) in enumerate(zip(examples, found, strict=True))
    ]


def choose(prediction: QuestionPrediction, null_threshold: float) -> QuestionPrediction:
    """The prediction with its answer chosen anew by another threshold, for example the best one found on a dev set.

    Args:
        prediction: made with negatives; one made without is returned as it is.
        null_threshold: "no answer" is chosen where null_score_diff is above.
    """
    if prediction.null_score_diff is None:
        return prediction
    best = next((c.text for c in prediction.candidates if c.text), "")
    return replace(prediction, text="" if prediction.null_score_diff > null_threshold else best)


def _candidates(examples: Sequence[QuestionExample], spans: Spans, n_best: int) -> Iterator[list[AnswerCandidate]]:
    """For each example its best different texts, best first, cut from the context; probabilities are not set yet."""
    bounds = np.searchsorted(spans.example, np.arange(len(examples) + 1))
    columns = [column.tolist() for column in spans[1:]]
    for index, example in enumerate(examples):
        chosen: dict[str, AnswerCandidate] = {}
        for at in range(bounds[index], bounds[index + 1]):
            start, end, start_logit, end_logit = (column[at] for column in columns)
            text = example.context[start:end]
            if text and text not in chosen:
                chosen[text] = AnswerCandidate(text, start, end, 0.0, start_logit, end_logit)
                if len(chosen) == n_best:
                    break
        yield list(chosen.values())


def _prediction(
    example: QuestionExample,
    candidates: list[AnswerCandidate],
    null: tuple[float, float] | None,
    null_threshold: float,
) -> QuestionPrediction:
    """Ranks "no answer" among the candidates, gives all their probabilities, chooses."""
    best = candidates[0] if candidates else None
    best = next((candidate for candidate in candidates if candidate.text), best)
    difference = None
    if null is not None:
        if all(candidate.text for candidate in candidates):
            candidates = [*candidates, AnswerCandidate("", 0, 0, 0.0, *null)]
            candidates.sort(key=lambda c: -(c.start_logit + c.end_logit))
        span_score = best.start_logit + best.end_logit if best and best.text else 0.0
        difference = sum(null) - span_score
    shares = probabilities([c.start_logit + c.end_logit for c in candidates])
    ranked = tuple(replace(c, probability=share) for c, share in zip(candidates, shares, strict=True))
    text = best.text if best else ""
    if difference is not None and difference > null_threshold:
        text = ""
    return QuestionPrediction(example.id, text, ranked, difference)
