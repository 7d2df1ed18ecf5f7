"""What a report shows of texts with labels, sets of labels or numbers, and of choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bert_ms.records import ChoiceExample, ChoicePrediction, LabelPrediction, TextExample
from bert_ms.tasks.findings import (
    ChartFinding,
    ConfusionFinding,
    Finding,
    GalleryFinding,
    Part,
    Share,
    TableFinding,
    as_json,
    choices,
    texts,
)
from bert_ms.tasks.findings.choosing import excerpt

LABELS = ("bad", "good")


def titled(found: Sequence[Finding], title: str) -> Finding:
    return next(finding for finding in found if finding.title == title)


def labelled(cases: Sequence[tuple[str | None, float]]) -> tuple[list[TextExample], list[LabelPrediction]]:
    """(gold label, probability of "good") of some texts."""
    examples = [TextExample(str(n), f"text {n}", label=gold) for n, (gold, _) in enumerate(cases)]
    predictions = [
        LabelPrediction(str(n), LABELS[good > 0.5], (round(1 - good, 4), good)) for n, (_, good) in enumerate(cases)
    ]
    return examples, predictions


CASES = [("good", 0.9), ("good", 0.6), ("good", 0.2), ("bad", 0.1), ("bad", 0.95), ("bad", 0.7), (None, 0.99)]


class TestOneLabel:
    def found(self) -> list[Finding]:
        return texts.findings(*labelled(CASES), LABELS)

    def test_all_there_is_to_show_in_its_order(self):
        assert [(f.kind, f.title) for f in self.found()] == [
            ("confusion", "Confusion matrix"),
            ("table", "Scores by label"),
            ("chart", "Precision and recall"),
            ("chart", "Calibration"),
            ("gallery", "Worst mistakes"),
            ("gallery", "Right, but only just"),
        ]

    def test_texts_without_a_label_are_not_counted(self):
        matrix = titled(self.found(), "Confusion matrix")
        assert isinstance(matrix, ConfusionFinding)
        assert matrix.counts == [[1, 2], [1, 2]]

    def test_scores_by_label_are_in_percent(self):
        table = titled(self.found(), "Scores by label")
        assert isinstance(table, TableFinding)
        assert table.rows[1] == ["good", 3, pytest.approx(50.0), pytest.approx(200 / 3), pytest.approx(400 / 7)]

    def test_the_worst_mistake_is_the_surest(self):
        gallery = titled(self.found(), "Worst mistakes")
        assert isinstance(gallery, GalleryFinding)
        assert [exhibit.origin for exhibit in gallery.exhibits] == ["4", "2", "5"]
        assert gallery.exhibits[0].shares == [Share("good", 0.95, "predicted"), Share("bad", 0.05, "gold")]

    def test_the_least_sure_right_answer_comes_first(self):
        gallery = titled(self.found(), "Right, but only just")
        assert isinstance(gallery, GalleryFinding)
        assert [exhibit.origin for exhibit in gallery.exhibits] == ["1", "0", "3"]

    def test_two_labels_have_the_curve_of_the_second(self):
        chart = titled(self.found(), "Precision and recall")
        assert isinstance(chart, ChartFinding)
        assert [series.name.split(" (")[0] for series in chart.series] == ["good"]
        assert chart.series[0].points[-1][0] == 1.0

    def test_bars_of_the_calibration_carry_their_counts(self):
        chart = titled(self.found(), "Calibration")
        assert isinstance(chart, ChartFinding) and chart.has_diagonal
        assert sum(int(label) for label in chart.series[0].labels) == 6
        assert chart.series[0].points[-1] == (pytest.approx(0.95), 0.0)  # one answer above 0.9, and wrong

    def test_without_probabilities_there_are_counts_alone(self):
        examples, predictions = labelled(CASES)
        bare = [LabelPrediction(p.id, p.label) for p in predictions]
        assert [f.kind for f in texts.findings(examples, bare, LABELS)] == ["confusion", "table"]

    def test_nothing_is_shown_of_texts_without_labels(self):
        examples, predictions = labelled([(None, 0.5)])
        assert texts.findings(examples, predictions, LABELS) == []

    def test_of_many_labels_the_most_confused_are_told(self):
        labels = tuple(f"label{n}" for n in range(120))
        rng = np.random.default_rng(3)
        examples, predictions = [], []
        for n in range(500):
            gold = int(rng.integers(120))
            shares = rng.dirichlet(np.ones(120))
            shares[gold] += 0.05
            predicted = 7 if gold == 3 else int(shares.argmax())
            examples.append(TextExample(str(n), "文" * 900, label=labels[gold]))
            predictions.append(LabelPrediction(str(n), labels[predicted], tuple(shares / shares.sum())))
        found = texts.findings(examples, predictions, labels)
        assert not any(isinstance(finding, ConfusionFinding) for finding in found)
        confused = titled(found, "Most confused")
        assert isinstance(confused, TableFinding)
        assert confused.rows[0][:2] == ["label3", "label7"]
        curves = titled(found, "Precision and recall")
        assert isinstance(curves, ChartFinding) and len(curves.series) == 5
        assert all(len(series.points) <= 160 for series in curves.series)


class TestSeveralLabels:
    EXAMPLES = (
        TextExample("a", "both", label=("red", "blue")),
        TextExample("b", "none", label=()),
        TextExample("c", "one", "pair", label=("red",)),
    )
    PREDICTIONS = (
        LabelPrediction("a", ("red",), (0.9, 0.4, 0.1)),
        LabelPrediction("b", (), (0.1, 0.2, 0.0)),
        LabelPrediction("c", ("red", "blue"), (0.8, 0.99, 0.3)),
    )

    def found(self) -> list[Finding]:
        return texts.findings(self.EXAMPLES, self.PREDICTIONS, ("red", "blue", "green"))

    def test_each_label_has_its_scores(self):
        table = titled(self.found(), "Scores by label")
        assert isinstance(table, TableFinding)
        assert table.rows == [
            ["red", 2, 100.0, 100.0, 100.0, pytest.approx(100.0)],
            ["blue", 1, 0.0, 0.0, 0.0, pytest.approx(50.0)],
            ["green", 0, 0.0, 0.0, 0.0, 0.0],
        ]

    def test_texts_are_grouped_by_how_many_labels_they_have(self):
        table = titled(self.found(), "Scores by number of labels")
        assert isinstance(table, TableFinding)
        assert table.rows == [["0 labels", 1, 0.0, 100.0], ["1 label", 1, 2.0, 0.0], ["2 labels", 1, 1.0, 0.0]]

    def test_mistakes_say_what_is_missed_and_what_is_too_many(self):
        gallery = titled(self.found(), "Worst mistakes")
        assert isinstance(gallery, GalleryFinding)
        assert [(e.origin, e.badges) for e in gallery.exhibits] == [("c", ["too many: blue"]), ("a", ["missed: blue"])]
        assert gallery.exhibits[0].passages == ((Part("one"),), (Part("pair"),))
        assert gallery.count == 2

    def test_curves_are_of_all_labels_and_of_those_that_occur(self):
        chart = titled(self.found(), "Precision and recall")
        assert isinstance(chart, ChartFinding)
        assert [series.name.split(" (")[0] for series in chart.series] == ["all labels", "red", "blue"]


class TestNumbers:
    def found(self, count: int = 2000) -> list[Finding]:
        gold = np.linspace(0, 5, count)
        examples = [TextExample(str(n), "a", "b", label=float(value)) for n, value in enumerate(gold)]
        predictions = [LabelPrediction(str(n), float(value) + (n == 7) * 3 - 0.25) for n, value in enumerate(gold)]
        return texts.findings(examples, predictions, ())

    def test_the_worst_error_comes_first(self):
        gallery = titled(self.found(), "Worst errors")
        assert isinstance(gallery, GalleryFinding)
        assert gallery.exhibits[0].origin == "7"
        assert gallery.exhibits[0].badges == ["error +2.75"]
        assert gallery.exhibits[1].badges == ["error −0.25"]

    def test_the_scatter_has_no_more_dots_than_can_be_seen(self):
        chart = titled(self.found(), "Predicted against gold")
        assert isinstance(chart, ChartFinding)
        assert len(chart.series[0].points) == 1500 and "1,500 of 2,000" in chart.note

    def test_every_error_is_in_the_histogram_and_in_a_band(self):
        found = self.found()
        chart, table = titled(found, "Errors"), titled(found, "By gold number")
        assert isinstance(chart, ChartFinding) and isinstance(table, TableFinding)
        assert sum(y for _, y in chart.series[0].points) == 2000
        assert sum(row[1] for row in table.rows) == 2000 and len(table.rows) == 5

    def test_equal_numbers_are_no_trouble(self):
        examples = [TextExample("1", "a", label=2.0)]
        found = texts.findings(examples, [LabelPrediction("1", 2.0)], ())
        assert len(found) == 4


    def test_what_is_no_number_is_left_out(self):
        examples = [TextExample(str(n), "a", label=1.0) for n in range(2)]
        predictions = [LabelPrediction("0", float("nan")), LabelPrediction("1", 1.5)]
        gallery = titled(texts.findings(examples, predictions, ()), "Worst errors")
        assert isinstance(gallery, GalleryFinding) and gallery.count == 1
        assert texts.findings(examples, predictions[:1], ()) == []


class TestChoices:
    EXAMPLES = (
        ChoiceExample("a", "It rained.", ("wet", "dry", "hot"), 0),
        ChoiceExample("b", "", ("一", "二", "三"), 2),
        ChoiceExample("c", "Unknown.", ("x", "y", "z"), None),
    )
    PREDICTIONS = (
        ChoicePrediction("a", 0, (0.8, 0.1, 0.1)),
        ChoicePrediction("b", 1, (0.3, 0.6, 0.1)),
        ChoicePrediction("c", 1, (0.3, 0.6, 0.1)),
    )

    def test_mistakes_show_all_choices(self):
        gallery = titled(choices.findings(self.EXAMPLES, self.PREDICTIONS), "Worst mistakes")
        assert isinstance(gallery, GalleryFinding)
        (exhibit,) = gallery.exhibits
        assert exhibit.shares == [Share("一", 0.3), Share("二", 0.6, "predicted"), Share("三", 0.1, "gold")]
        assert exhibit.passages == []

    def test_the_place_of_the_right_choice_is_counted(self):
        table = titled(choices.findings(self.EXAMPLES, self.PREDICTIONS), "Place of the right choice")
        assert isinstance(table, TableFinding)
        assert table.rows == [["1", 1, 50.0, 50.0], ["3", 1, 50.0, 100.0]]


def test_a_long_text_is_cut_between_words_and_chinese_between_characters():
    (part,) = excerpt("word " * 300)
    assert len(part.text) <= 602 and part.text.endswith("word …")
    (part,) = excerpt("字" * 900)
    assert part.text == "字" * 600 + " …"


def test_findings_are_plain_values():
    found = as_json(texts.findings(*labelled(CASES), LABELS))
    assert found[0]["kind"] == "confusion" and found[0]["counts"] == [[1, 2], [1, 2]]

    def types(value: object) -> set[type]:
        if isinstance(value, dict):
            return set().union(*map(types, value.values()))
        return set().union(*map(types, value)) if isinstance(value, list) else {type(value)}

    assert types(found) <= {str, int, float, bool, type(None)}
