"""SQuAD's official scores, v1.1 and v2.0, of a file of predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

from bert_ms.errors import DataError, unknown
from bert_ms.metrics.answer_text import COMPARISONS, Comparison, f1, language_of
from bert_ms.metrics.squad_files import Question, read_null_odds, read_predictions, read_questions
from bert_ms.records import QuestionExample

_log = logging.getLogger(__name__)

PathLike = str | Path
Dataset = PathLike | Mapping[str, Any] | Sequence[QuestionExample]


class QuestionScore(NamedTuple):
    """Scores of one question, each 0 to 1, the best over its gold answers."""

    exact: float
    f1: float


class Threshold(NamedTuple):
    """The score that a data set would reach if "no answer" were chosen above `value` of the null odds.

    Attributes:
        score: in percent.
        value: of the null odds; 0.0 if the best is to answer nothing.
        answers_nothing: that is the case.
    """

    score: float
    value: float
    answers_nothing: bool


def evaluate(
    dataset_json: Dataset,
    predictions_json: PathLike | Mapping[str, str],
    null_odds: PathLike | Mapping[str, float] | None = None,
    na_threshold: float | None = None,
    *,
    language: str = "en",
    with_negatives: bool | None = None,
) -> dict[str, float | int]:
    """Score predicted answers as the official SQuAD scripts do.

    Args:
        dataset_json: a SQuAD file (v1.1, v2.0, or a set of the same form), its loaded content, or examples.
        predictions_json: {question id: answer text}, "" for "no answer"; a file or its content. A question that is left
            out counts 0, with a warning.
        null_odds: {question id: how much likelier no answer is than the best answer}; a file or its content. With v2.0
            data it adds the best thresholds.
        na_threshold: answers whose null odds are above are taken as "no answer" before scoring; None takes the
            predictions as they are.
        language: "en" compares words as SQuAD's scripts do, "zh" characters as CMRC2018's does; "auto" finds out from
            the gold answers.
        with_negatives: score as v2.0; None finds out: the data has `is_impossible`.

    Returns:
        exact_match and f1 in percent, and total. For v2.0 also {HasAns,NoAns}_{exact,f1,total} (where there are such
        questions) and, given null_odds, best_exact, best_exact_thresh, best_f1, best_f1_thresh.

    Raises:
        DataError: a file that is missing or not what it should be; predictions of another data set; a threshold
            without null odds.

    Source: evaluate-v1.1.py and evaluate-v2.0.py of the SQuAD site. Two differences for v2.0: a missing prediction
    counts 0 in every total (the script leaves it out of one total and then fails); `na_threshold` has no default of 1.
    """
    questions, marked = read_questions(dataset_json)
    predictions = read_predictions(predictions_json)
    comparison = _comparison(language, questions)
    with_negatives = marked if with_negatives is None else with_negatives
    odds = None if null_odds is None else read_null_odds(null_odds)
    if na_threshold is not None and odds is None:
        raise DataError(f"na_threshold {na_threshold} was given without null_odds: give the null odds file as well.")
    _check_same_set(questions, predictions)

    scores = score_questions(questions, predictions, comparison, with_negatives=with_negatives)
    if odds is not None:
        _check_odds(questions, predictions, odds)
    final = scores
    if na_threshold is not None and odds is not None:
        silent = {key for key, value in odds.items() if key in predictions and value > na_threshold}
        final = _silenced(scores, questions, silent)
    result: dict[str, float | int] = {**_mean(final, "exact_match", "f1", "total")}
    if with_negatives:
        for name, answerable in (("HasAns", True), ("NoAns", False)):
            part = [s for s, q in zip(final, questions, strict=True) if bool(q.answers) is answerable]
            if part:
                result |= _mean(part, f"{name}_exact", f"{name}_f1", f"{name}_total")
        if odds is not None:
            for name in ("exact", "f1"):
                values = [getattr(s, name) for s in scores]
                best = best_threshold(values, questions, predictions, odds)
                result |= {f"best_{name}": best.score, f"best_{name}_thresh": best.value}
    return result


def evaluate_each(
    dataset_json: Dataset,
    predictions_json: PathLike | Mapping[str, str],
    *,
    language: str = "en",
    with_negatives: bool | None = None,
) -> dict[str, QuestionScore]:
    """The scores of every question by its id, each 0 to 1; arguments and errors as of `evaluate`."""
    questions, marked = read_questions(dataset_json)
    with_negatives = marked if with_negatives is None else with_negatives
    predictions = read_predictions(predictions_json)
    comparison = _comparison(language, questions)
    scores = score_questions(questions, predictions, comparison, with_negatives=with_negatives, warn=False)
    return {question.id: score for question, score in zip(questions, scores, strict=True)}


def search_threshold(
    dataset_json: Dataset,
    predictions_json: PathLike | Mapping[str, str],
    null_odds: PathLike | Mapping[str, float],
    *,
    language: str = "en",
) -> float:
    """The threshold to decode with: above it, "no answer" is chosen, which gives the best F1 on this data.

    It is `best_f1_thresh` of `evaluate`, except where answering nothing is best: there the official script says 0.0,
    which suits probabilities, but the difference of two logits may be lower; here it is a threshold below all of them.

    Args:
        dataset_json: as of `evaluate`.
        predictions_json: the best answers, made with a threshold that no question exceeds, or with any other.
        null_odds: of each question.
        language: as of `evaluate`.
    """
    questions, _ = read_questions(dataset_json)
    predictions, odds = read_predictions(predictions_json), read_null_odds(null_odds)
    _check_odds(questions, predictions, odds)
    scores = score_questions(questions, predictions, _comparison(language, questions), with_negatives=True, warn=False)
    best = best_threshold([score.f1 for score in scores], questions, predictions, odds)
    return min(odds.values(), default=0.0) - 1.0 if best.answers_nothing else best.value


def score_questions(
    questions: Sequence[Question],
    predictions: Mapping[str, str],
    comparison: Comparison,
    *,
    with_negatives: bool,
    warn: bool = True,
) -> list[QuestionScore]:
    """One score a question, in order; v1.1 gives 0 where nothing is left to compare, v2.0 finds two nothings equal."""
    scores, missing = [], []
    for question in questions:
        predicted = predictions.get(question.id)
        if predicted is None:
            missing.append(question.id)
            scores.append(QuestionScore(0.0, 0.0))
        else:
            scores.append(_score(question.answers, predicted, comparison, with_negatives))
    if missing and warn:
        _log.warning("%d of %d questions have no prediction and count 0 (first: %s)",
                     len(missing), len(questions), ", ".join(missing[:3]))  # fmt: skip
    return scores


def best_threshold(
    scores: Sequence[float],
    questions: Sequence[Question],
    predictions: Mapping[str, str],
    null_odds: Mapping[str, float],
) -> Threshold:
    """The threshold of the null odds that gives the highest score, in percent.

    Going up the sorted odds, each question in turn is answered instead of passed over: one that has an answer gains its
    score, one that has none costs 1 if something was answered. The first of equally good thresholds is kept; 0.0 stands
    for "answer nothing".

    Source: find_best_thresh of evaluate-v2.0.py.
    """
    current = best = float(sum(not question.answers for question in questions))
    value, answers_nothing = 0.0, True
    answered = [(q, s) for q, s in zip(questions, scores, strict=True) if q.id in predictions and q.id in null_odds]
    for question, score in sorted(answered, key=lambda pair: null_odds[pair[0].id]):
        if question.answers:
            current += score
        elif predictions[question.id]:
            current -= 1
        if current > best:
            best, value, answers_nothing = current, null_odds[question.id], False
    return Threshold(100.0 * best / max(len(questions), 1), value, answers_nothing)


def _comparison(language: str, questions: Sequence[Question]) -> Comparison:
    if language == "auto":
        language = language_of(text for question in questions for text in question.answers[:1])
    if language not in COMPARISONS:
        raise DataError(unknown("language", language, ["auto", *COMPARISONS]))
    return COMPARISONS[language]


def _score(golds: Sequence[str], predicted: str, comparison: Comparison, with_negatives: bool) -> QuestionScore:
    """The best over the gold answers."""
    normalise, overlap = comparison
    answer = normalise(predicted)
    norms = {normalise(gold) for gold in golds}
    if with_negatives:
        norms = {norm for norm in norms if norm.text}
        if not norms or not answer.units:
            equal = float(not norms and not answer.units)
            return QuestionScore(float(not norms and not answer.text), equal)
    exact = float(any(norm.text == answer.text for norm in norms))
    return QuestionScore(exact, max((f1(norm.units, answer.units, overlap) for norm in norms), default=0.0))


def _silenced(scores: Sequence[QuestionScore], questions: Sequence[Question], silent: Set[str]) -> list[QuestionScore]:
    """Scores when the answers to the `silent` questions are replaced by no answer."""
    silence = {True: QuestionScore(0.0, 0.0), False: QuestionScore(1.0, 1.0)}
    return [
        silence[bool(question.answers)] if question.id in silent else score
        for question, score in zip(questions, scores, strict=True)
    ]


def _mean(scores: Sequence[QuestionScore], exact: str, f1_name: str, total: str) -> dict[str, float | int]:
    count = len(scores)
    return {
        exact: 100.0 * sum(s.exact for s in scores) / max(count, 1),
        f1_name: 100.0 * sum(s.f1 for s in scores) / max(count, 1),
        total: count,
    }


def _check_same_set(questions: Sequence[Question], predictions: Mapping[str, str]) -> None:
    if predictions and questions and not any(question.id in predictions for question in questions):
        raise DataError(
            f"none of the {len(predictions)} predictions belongs to a question of this data set (its first id is "
            f"{questions[0].id!r}, theirs {next(iter(predictions))!r}): give the predictions made on this file."
        )


def _check_odds(questions: Sequence[Question], predictions: Mapping[str, str], odds: Mapping[str, float]) -> None:
    lacking = [question.id for question in questions if question.id in predictions and question.id not in odds]
    if lacking:
        raise DataError(
            f"null odds are missing for {len(lacking)} predicted questions (first: {lacking[0]!r}): "
            "give the null_odds.json that was written with these predictions."
        )
