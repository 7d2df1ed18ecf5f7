"""What a report shows of named entities: counted as seqeval counts, missed and spurious ones apart."""

from __future__ import annotations

import pytest

from bert_ms.metrics import entities as metrics
from bert_ms.records import TagsPrediction, TokenExample
from bert_ms.tags.entities import Entity
from bert_ms.tasks.findings import ConfusionFinding, GalleryFinding, Part, TableFinding, tags
from bert_ms.tasks.findings.entities import Match, compared, matches
from bert_ms.tasks.findings.sentences import marked_sentence

# words, gold tags, predicted tags
CASES = [
    ("Ada Lovelace met Bell in New York", "B-PER I-PER O B-PER O B-LOC I-LOC", "B-PER I-PER O B-ORG O B-LOC O"),
    ("Nothing here", "O O", "O B-MISC"),
    ("They saw Oslo", "O O B-LOC", "O O O"),
    ("Paris shines", "B-LOC O", "B-LOC O"),
]
EXAMPLES = [TokenExample(str(n), tuple(w.split()), tuple(g.split())) for n, (w, g, _) in enumerate(CASES)]
PREDICTIONS = [
    TagsPrediction(str(n), tuple(p.split()), tuple(0.9 for _ in p.split())) for n, (_, _, p) in enumerate(CASES)
]


def finding(title: str) -> TableFinding | ConfusionFinding | GalleryFinding:
    return next(f for f in tags.findings(EXAMPLES, PREDICTIONS) if f.title == title)  # type: ignore[return-value]


def test_an_entity_meets_the_one_on_its_own_words_before_one_that_overlaps() -> None:
    gold = [Entity("ORG", 0, 3), Entity("LOC", 3, 5)]
    predicted = [Entity("ORG", 2, 5), Entity("PER", 3, 5)]
    # the second predicted entity belongs to the second gold one, so the first is left for the first
    assert matches(gold, predicted) == (Match(gold[0], predicted[0]), Match(gold[1], predicted[1]))
    assert [match.outcome for match in matches(gold, predicted)] == ["wrong border", "wrong type"]


def test_scores_by_type_count_exact_entities() -> None:
    # seqeval: PER 1 of 2 found, LOC 1 of 3, ORG and MISC spurious
    assert finding("Scores by type").rows == [
        ["LOC", 3, 2, 50.0, pytest.approx(100 / 3), 40.0],
        ["MISC", 0, 1, 0.0, 0.0, 0.0],
        ["ORG", 0, 1, 0.0, 0.0, 0.0],
        ["PER", 2, 1, 100.0, 50.0, pytest.approx(200 / 3)],
        ["all", 5, 5, 40.0, 40.0, 40.0],
    ]


def test_scores_by_type_are_those_of_the_metric() -> None:
    theirs = metrics.by_type([e.tags or () for e in EXAMPLES], [p.tags for p in PREDICTIONS])
    ours = {row[0]: row[1:] for row in finding("Scores by type").rows}
    for name, scores in theirs.items():
        assert ours[name] == pytest.approx(
            [scores.support, scores.predicted, scores.precision, scores.recall, scores.f1]
        )


def test_confusion_has_missed_and_spurious_entities() -> None:
    matrix = finding("What is taken for what")
    assert isinstance(matrix, ConfusionFinding)
    assert matrix.rows == ["LOC", "MISC", "ORG", "PER", "spurious"]
    assert matrix.columns == ["LOC", "MISC", "ORG", "PER", "missed"]
    assert matrix.counts == [[2, 0, 0, 0, 1], [0] * 5, [0] * 5, [0, 0, 1, 1, 0], [0, 1, 0, 0, None]]


def test_every_entity_has_one_outcome() -> None:
    assert {row[0]: row[1] for row in finding("What became of them").rows} == {
        "right": 2, "wrong type": 1, "wrong border": 1, "wrong border and type": 0, "missed": 1, "spurious": 1,
    }  # fmt: skip


def test_scores_are_told_by_length() -> None:
    assert [row[:3] for row in finding("Scores by length").rows] == [["1 word", 3, 4], ["2 words", 2, 1]]


def test_sentences_are_shown_by_what_went_wrong() -> None:
    found = tags.findings(EXAMPLES, PREDICTIONS)
    galleries = {f.title: [e.origin for e in f.exhibits] for f in found if isinstance(f, GalleryFinding)}
    assert galleries == {
        "Missed": ["2"],
        "Found where there is none": ["1"],
        "Wrong type": ["0"],
        "Wrong border": ["0"],
        "All right": ["3"],
    }


def test_entities_are_marked_with_their_types() -> None:
    assert marked_sentence(compared(EXAMPLES[0], PREDICTIONS[0])) == [
        Part("Ada Lovelace", "both", "PER"),
        Part(" met "),
        Part("Bell", "wrong", "PER → ORG"),
        Part(" in "),
        Part("New", "both", "LOC"),
        Part(" "),
        Part("York", "gold", "LOC"),
    ]


def test_chinese_is_joined_without_spaces() -> None:
    example = TokenExample("1", tuple("在北京见 OK 吧".replace(" ", "")), ("O", "B-LOC", "I-LOC", "O", "O", "O", "O"))
    parts = marked_sentence(compared(example, TagsPrediction("1", ("O",) * 7, (1.0,) * 7)), joiner="")
    assert parts == [Part("在"), Part("北京", "gold", "LOC"), Part("见OK吧")]


def test_a_long_sentence_is_cut_around_its_entities() -> None:
    words, gold = ("w",) * 1000, ["O"] * 1000
    gold[500] = "B-X"
    example = TokenExample("1", words, tuple(gold))
    shown = "".join(part.text for part in marked_sentence(compared(example, TagsPrediction("1", ("O",) * 1000, ()))))
    assert len(shown.split()) == 51 + 2 and shown.startswith("… ") and shown.endswith(" …")


def test_sentences_without_entities_have_nothing_to_show() -> None:
    example = TokenExample("1", ("a",), ("O",))
    assert tags.findings([example], [TagsPrediction("1", ("O",), (1.0,))]) == []
    assert tags.findings([TokenExample("1", ("a",), None)], [TagsPrediction("1", ("B-X",), (1.0,))]) == []


def test_probabilities_that_are_not_there_leave_the_calibration_out() -> None:
    bare = [TagsPrediction(p.id, p.tags, ()) for p in PREDICTIONS]
    assert "Calibration" in [f.title for f in tags.findings(EXAMPLES, PREDICTIONS)]
    assert "Calibration" not in [f.title for f in tags.findings(EXAMPLES, bare)]
