"""Decoding: the best spans of all windows, cut from the original context."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bert_ms.decoding.question_answering import choose, decode
from bert_ms.errors import DataError
from bert_ms.records import Features
from tests.decoding.windows import FIRST, example, windows

CONTEXT = "Émile  met\nZoë near 東京 tower, in the old café"


def _logits(features: Features, **peaks: float) -> np.ndarray:
    """Zeros with `w<row>_<context token>` raised; a token before the context is counted negatively."""
    values = np.zeros(int(features.row_splits[-1]), np.float32)
    for name, value in peaks.items():
        row, token = map(int, name[1:].replace("m", "-").split("_"))
        values[features.row_splits[row] + FIRST + token] = value
    return values


def _random(features: Features, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = int(features.row_splits[-1])
    return rng.normal(size=size).astype(np.float32), rng.normal(size=size).astype(np.float32)


def test_answer_is_cut_from_the_original_context() -> None:
    examples = [example(CONTEXT)]
    features = windows(examples, [(0, 0, 10)])
    (prediction,) = decode(examples, features, _logits(features, w0_0=5), _logits(features, w0_2=5))
    assert prediction.text == "Émile  met\nZoë"
    best = prediction.candidates[0]
    assert (best.start, best.end, best.start_logit, best.end_logit) == (0, 14, 5.0, 5.0)


def test_n_best_equal_trying_every_span() -> None:
    examples = [example(" ".join(f"w{i}" for i in range(40)))]
    features = windows(examples, [(0, 0, 25), (0, 15, 40)])
    start, end = _random(features, 3)
    (prediction,) = decode(examples, features, start, end, n_best=15, max_answer_length=6)
    best: dict[str, float] = {}
    assert features.in_context is not None and features.offsets is not None
    for low, high in itertools.pairwise(features.row_splits.tolist()):
        for first, last in itertools.product(range(low, high), repeat=2):
            if features.in_context[first] and features.in_context[last] and 0 <= last - first < 6:
                text = examples[0].context[features.offsets[first, 0] : features.offsets[last, 1]]
                best[text] = max(best.get(text, -math.inf), float(start[first]) + float(end[last]))
    expected = sorted(best.items(), key=lambda item: -item[1])[:15]
    assert [c.text for c in prediction.candidates] == [text for text, _ in expected]
    assert [c.start_logit + c.end_logit for c in prediction.candidates] == pytest.approx([s for _, s in expected])
    assert sum(c.probability for c in prediction.candidates) == pytest.approx(1)


def test_only_context_tokens_are_answers() -> None:
    examples = [example("one two three")]
    features = windows(examples, [(0, 0, 3)])
    start = _logits(features, w0_m3=50, w0_m1=50, w0_3=50, w0_1=2)
    (prediction,) = decode(examples, features, start, start)
    assert prediction.text == "two"
    assert len(prediction.candidates) == 6


def test_answer_is_no_longer_than_allowed_and_never_ends_before_it_starts() -> None:
    examples = [example("a b c d e f")]
    features = windows(examples, [(0, 0, 6)])
    (prediction,) = decode(
        examples, features, _logits(features, w0_1=9), _logits(features, w0_0=9, w0_3=8, w0_5=8.5), max_answer_length=3
    )
    assert prediction.text == "b c d"
    assert {len(c.text.split()) for c in prediction.candidates} == {1, 2, 3}


def test_same_text_is_kept_once_at_its_best() -> None:
    examples = [example("yes no yes")]
    features = windows(examples, [(0, 0, 2), (0, 1, 3)])
    logits = _logits(features, w0_0=1, w1_1=3)
    (prediction,) = decode(examples, features, logits, logits)
    texts = [c.text for c in prediction.candidates]
    assert len(texts) == len(set(texts))
    assert (prediction.candidates[0].text, prediction.candidates[0].start) == ("yes", 7)


def test_equal_scores_are_ordered_by_window_start_and_end() -> None:
    examples = [example("a b c")]
    features = windows(examples, [(0, 0, 3)])
    zeros = np.zeros(int(features.row_splits[-1]), np.float32)
    (prediction,) = decode(examples, features, zeros, zeros, n_best=4)
    assert [c.text for c in prediction.candidates] == ["a", "a b", "a b c", "b"]


def test_padded_logits_decode_as_flat_ones() -> None:
    examples = [example("a b c d e f g"), example("h i", "r")]
    features = windows(examples, [(0, 0, 5), (0, 3, 7), (1, 0, 2)])
    start, end = _random(features, 1)
    padded = np.full((2, 3, 20), 99.0, np.float32)
    for row, (low, high) in enumerate(itertools.pairwise(features.row_splits.tolist())):
        padded[0, row, : high - low], padded[1, row, : high - low] = start[low:high], end[low:high]
    flat = decode(examples, features, start, end, with_negatives=True)
    assert decode(examples, features, padded[0], padded[1], with_negatives=True) == flat


def test_windows_of_a_question_need_not_stand_together() -> None:
    examples = [example("a b c d"), example("e f", "r")]
    spans = [(0, 0, 3), (1, 0, 2), (0, 2, 4)]
    features = windows(examples, spans)
    start, end = _random(features, 5)
    order = [0, 2, 1]
    pick = np.concatenate([np.arange(features.row_splits[i], features.row_splits[i + 1]) for i in order])
    together = windows(examples, [spans[i] for i in order])
    assert decode(examples, features, start, end) == decode(examples, together, start[pick], end[pick])


def test_no_answer_takes_the_window_that_wants_it_least() -> None:
    examples = [example("a b c d")]
    features = windows(examples, [(0, 0, 2), (0, 2, 4)])
    start, end = _logits(features, w0_m4=6, w1_m4=1, w1_0=2), _logits(features, w0_m4=6, w1_m4=1.5, w1_0=1)
    (prediction,) = decode(examples, features, start, end, with_negatives=True)
    assert prediction.null_score_diff == pytest.approx(2.5 - 3)
    assert prediction.text == "c"
    null = next(c for c in prediction.candidates if not c.text)
    assert (null.start_logit, null.end_logit) == (1.0, 1.5)


@pytest.mark.parametrize(("threshold", "text"), [(-0.6, ""), (-0.5, "c"), (0.0, "c")])
def test_no_answer_is_chosen_above_the_threshold_only(threshold: float, text: str) -> None:
    examples = [example("a b c d")]
    features = windows(examples, [(0, 0, 4)])
    start, end = _logits(features, w0_m4=1, w0_2=2), _logits(features, w0_m4=1.5, w0_2=1)
    (prediction,) = decode(examples, features, start, end, with_negatives=True, null_threshold=threshold)
    assert prediction.text == text
    (other,) = decode(examples, features, start, end, with_negatives=True, null_threshold=9)
    assert choose(other, threshold) == prediction


def test_without_negatives_there_is_no_empty_candidate() -> None:
    examples = [example("a b")]
    features = windows(examples, [(0, 0, 2)])
    start = _logits(features, w0_m4=50)
    (prediction,) = decode(examples, features, start, start)
    assert prediction.null_score_diff is None
    assert prediction.text and all(c.text for c in prediction.candidates)
    assert choose(prediction, -99.0) is prediction


def test_question_without_window_gets_an_empty_answer() -> None:
    examples = [example("a b"), example("", "empty")]
    features = windows(examples, [(0, 0, 2)])
    zeros = np.zeros(int(features.row_splits[-1]), np.float32)
    predictions = decode(examples, features, zeros, zeros)
    assert (predictions[1].id, predictions[1].text, predictions[1].candidates) == ("empty", "", ())


def test_logits_of_other_features_are_refused() -> None:
    examples = [example("a b")]
    features = windows(examples, [(0, 0, 2)])
    zeros = np.zeros(7, np.float32)
    with pytest.raises(DataError, match=r"end_logits has shape \(6,\), but the features have 1 rows, 7 tokens in all"):
        decode(examples, features, zeros, zeros[1:])
    with pytest.raises(DataError, match=r"start_logits has shape \(1, 5\)"):
        decode(examples, features, zeros[None, :5], zeros[None, :5])
    with pytest.raises(DataError, match="the features belong to 1 or more examples, but 0 were given"):
        decode([], features, zeros, zeros)


def test_logits_that_are_not_finite_are_refused() -> None:
    examples = [example("a b")]
    features = windows(examples, [(0, 0, 2)])
    logits = _logits(features, w0_1=math.nan)
    with pytest.raises(DataError, match=r"start_logits\[5\] is nan: the network's output is not finite"):
        decode(examples, features, logits, logits)


def test_unknown_style_names_the_nearest() -> None:
    features = windows([], [])
    with pytest.raises(DataError, match="unknown decoding style 'gogle': did you mean 'google'"):
        decode([], features, np.zeros(0), np.zeros(0), style="gogle")


def test_no_questions_give_no_predictions() -> None:
    assert decode([], windows([], []), np.zeros(0), np.zeros(0), with_negatives=True) == []
