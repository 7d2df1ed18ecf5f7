"""Logits of tokens become tags of words, across windows, and entities with their places in the text."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from bert_ms.data.token_features import featurize
from bert_ms.decoding import tag_files, tags
from bert_ms.errors import DataError
from bert_ms.records import TagsPrediction, TokenExample
from bert_ms.tokenization import Tokenizer

LETTERS = Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", *(f"##{c}" for c in "abcdefgh")])
LABELS = ("O", "B-X", "I-X")


def decoded(examples, wanted, *, labels=LABELS, transitions=None, **options):
    """Decode logits that want a label for each word, given by number, with 2.0; other tokens want label 1."""
    features = featurize(examples, LETTERS, **options)
    logits = np.zeros((len(features.input_ids), len(labels) + (0 if transitions is None else 2)), np.float32)
    logits[:, 1] = 9.0
    places = np.flatnonzero(features.in_context)
    logits[places] = 0.0
    logits[places, wanted] = 2.0
    return tags.decode(examples, features, logits, labels, transitions=transitions)


def test_each_word_has_the_label_of_its_first_token_with_its_probability() -> None:
    examples = [TokenExample("x", ("ab", "c")), TokenExample("y", ("d",))]
    first, second = decoded(examples, [1, 2, 0])
    assert (first.id, first.tags, second.tags) == ("x", ("B-X", "I-X"), ("O",))
    expected = np.exp(2) / (np.exp(2) + 2)
    np.testing.assert_allclose([*first.probabilities, *second.probabilities], expected)


def test_windows_are_joined_to_one_sentence() -> None:
    wanted = [0, 1, 2, 2, 0, 1, 2, 0] * 3
    (found,) = decoded([TokenExample("x", tuple("abcdefgh" * 3))], wanted, max_length=9, stride=4)
    assert found.tags == tuple(LABELS[number] for number in wanted)


def test_words_without_a_token_are_outside_but_blanks_belong_to_the_entity_around_them() -> None:
    words = (" ", "a", " ", " ", "b", "\ufe0f", "c", " ", "d", " ")
    (found,) = decoded([TokenExample("x", words)], [1, 2, 2, 1])
    assert found.tags == ("O", "B-X", "I-X", "I-X", "I-X", "O", "I-X", "O", "B-X", "O")
    assert found.probabilities[0] == 1.0
    assert decoded([TokenExample("x", (" ",))], [])[0].tags == ("O",)


def test_a_crf_gives_the_best_path_of_the_whole_sentence() -> None:
    """After B-X nothing but I-X may come, and I-X never begins: what the words want alone is impossible."""
    transitions = np.zeros((5, 5), np.float32)
    transitions[[0, 1, 4], 1] = -100.0  # from B-X to O, B-X, the end
    transitions[2, [0, 3]] = -100.0  # to I-X from O and from the beginning
    wanted = [2, 1, 0, 0, 1, 0]
    options = {"max_length": 5, "stride": 1}
    (found,) = decoded([TokenExample("x", tuple("abcdef"))], wanted, transitions=transitions, **options)
    allowed = {("O", "O"), ("O", "B-X"), ("B-X", "I-X"), ("I-X", "I-X"), ("I-X", "O"), ("I-X", "B-X")}
    assert set(pairwise(found.tags)) <= allowed
    assert found.tags[0] != "I-X" and found.tags[-1] != "B-X"
    assert decoded([TokenExample("x", tuple("abcdef"))], wanted, **options)[0].tags != found.tags


def test_labels_in_another_scheme_come_out_as_bio() -> None:
    labels = ("O", "B-X", "M-X", "E-X", "S-X")
    (found,) = decoded([TokenExample("x", tuple("abcde"))], [4, 1, 2, 3, 0], labels=labels)
    assert found.tags == ("B-X", "B-X", "I-X", "I-X", "O")


def test_logits_that_do_not_fit_are_refused() -> None:
    examples = [TokenExample("x", ("a",))]
    features = featurize(examples, LETTERS)
    with pytest.raises(DataError, match=r"logits have shape \(3, 4\), expected \(3, 3\)"):
        tags.decode(examples, features, np.zeros((3, 4), np.float32), LABELS)
    with pytest.raises(DataError, match="logits are not finite"):
        tags.decode(examples, features, np.full((3, 3), np.nan, np.float32), LABELS)
    with pytest.raises(DataError, match="judge 1 words, the sentences have 2"):
        tags.decode([TokenExample("x", ("a", "b"))], features, np.zeros((3, 3), np.float32), LABELS)


def test_entities_have_their_place_in_the_text() -> None:
    text, places = tags.place_words(["in", "New", "York", "now"])
    (found,) = tags.spans(["O", "B-LOC", "I-LOC", "O"], text, places, [1.0, 0.5, 0.7, 1.0])
    assert (found.type, found.text, found.start, found.end) == ("LOC", "New York", 3, 11)
    assert found.probability == pytest.approx(0.6)
    assert tags.place_words("叶老桂", "")[1] == [(0, 1), (1, 2), (2, 3)]


def test_cluener_s_leaderboard_takes_first_and_last_characters() -> None:
    examples = [TokenExample("3", tuple("王在A行和A行")), TokenExample("x", ("无",))]
    found = [("B-name", "O", "B-company", "I-company", "O", "B-company", "I-company"), ("O",)]
    predictions = [TagsPrediction(e.id, tags_, (1.0,) * len(tags_)) for e, tags_ in zip(examples, found, strict=True)]
    assert tag_files.span_lines(examples, predictions).splitlines() == [
        '{"id": 3, "label": {"name": {"王": [[0, 0]]}, "company": {"A行": [[2, 3], [5, 6]]}}}',
        '{"id": "x", "label": {}}',
    ]


def test_files_hold_columns_lines_and_scores(tmp_path) -> None:
    examples = [TokenExample("7", ("New", "Yo\trk"), ("B-L", "I-L")), TokenExample("8", ("叶",))]
    predictions = [TagsPrediction("7", ("B-L", "O"), (0.25, 1.0)), TagsPrediction("8", ("O",), (1.0,))]
    written = tag_files.write_predictions(tmp_path, examples, predictions, scores={"a": 1})
    assert [path.name for path in written] == ["predictions.conll", "predictions.jsonl", "entities.json"]
    assert written[0].read_text(encoding="utf-8") == "New\tB-L\tB-L\nYo rk\tI-L\tO\n\n叶\tO\n\n"
    first, second = (json.loads(line) for line in written[1].read_text(encoding="utf-8").splitlines())
    assert first == {
        "id": "7", "text": "New Yo\trk", "words": ["New", "Yo\trk"], "prediction": ["B-L", "O"],
        "label": ["B-L", "I-L"], "probabilities": [0.25, 1.0],
        "entities": [{"type": "L", "text": "New", "start": 0, "end": 3, "probability": 0.25}],
    }  # fmt: skip
    assert second["entities"] == [] and "label" not in second
    assert json.loads(written[2].read_text()) == {"a": 1}
