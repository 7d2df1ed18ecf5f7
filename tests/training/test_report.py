"""report.html, loss.png and the card: whole, self-contained, and nothing in them is taken for markup."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bert_ms.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from bert_ms.errors import TrainingError
from bert_ms.records import Answer, AnswerCandidate, QuestionExample, QuestionPrediction
from bert_ms.training.curves import smooth, thin
from bert_ms.training.plots import write_loss_plot
from bert_ms.training.report import (
    RunStory,
    ScoredQuestion,
    card_body,
    machine_facts,
    report_html,
    score_each,
    tell,
    write_documents,
    write_report,
)
from bert_ms.training.report.chart import Line, line_chart
from bert_ms.training.report.marked import marked_passage
from bert_ms.training.report.questions import by_answer_length, by_question_word, galleries, question_word

EVIL = "<script>alert('x')</script>&amp;\"'"
VOID = {"meta", "br", "line", "circle", "polyline", "img", "link"}


def _question(
    identity: str, question: str, context: str, gold: str, predicted: str, *, impossible: bool = False
) -> tuple[QuestionExample, QuestionPrediction]:
    answers = () if impossible else (Answer(gold, context.index(gold)),)
    at = context.find(predicted)
    candidates = [AnswerCandidate(predicted, at, at + len(predicted), 0.75, 2.0, 1.0)] if predicted else []
    candidates.append(AnswerCandidate("other" + EVIL, 0, 1, 0.25, 1.0, 0.0))
    example = QuestionExample(identity, question, context, answers, impossible, "A_title")
    return example, QuestionPrediction(identity, predicted, tuple(candidates))


PASSAGE = f"Émile met Zoë in 1963 in the old town of Łódź. {EVIL} They left by train."
CASES = [
    _question("1", "When did they meet?", PASSAGE, "1963", "1963"),
    _question("2", "In what town?", PASSAGE, "the old town of Łódź", "town of Łódź"),
    _question("3", f"Who met? {EVIL}", PASSAGE, "Zoë", "train"),
    _question("4", "How many?", PASSAGE, "", "Zoë", impossible=True),
    _question("5", "Why?", PASSAGE, "They left", ""),
]


@pytest.fixture
def questions() -> list[ScoredQuestion]:
    return score_each([e for e, _ in CASES], [p for _, p in CASES])


@pytest.fixture
def story(questions: list[ScoredQuestion]) -> RunStory:
    metrics: list[dict[str, object]] = [{"kind": "eval", "step": 0, "f1": 5.0, "exact_match": 1.0}]
    for step in range(1, 1001):
        metrics.append({"kind": "train", "step": step, "loss": 3 * math.exp(-step / 300), "learning_rate": 1e-4})
    metrics.append({"kind": "eval", "step": 1000, "f1": 63.5, "exact_match": 52.0})
    return RunStory(
        name=f"minilm {EVIL}",
        command=f"bert-ms train note='{EVIL}'",
        model={"source": EVIL, "licence": "Apache-2.0"},
        data={"training": EVIL},
        setting={"seed": 42},
        machine=machine_facts(),
        config_yaml=f"a: {EVIL}",
        metrics=metrics,
        seconds={"training": 3000.0, "compiling": 60.0},
        scores={"exact_match": 52.0, "f1": 63.5, "total": 5},
        scores_before={"exact_match": 1.0, "f1": 5.0, "total": 5},
        questions=questions,
    )


class Outline(HTMLParser):
    """Tags opened and not closed, and everything that would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.outside += [value or "" for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_report_is_one_whole_file_without_outside_parts(story: RunStory, tmp_path: Path) -> None:
    path = write_report(tmp_path / "run" / "report.html", story)
    outline = Outline()
    outline.feed(path.read_text(encoding="utf-8"))
    outline.close()
    assert outline.open == []
    assert outline.outside == []
    assert {"svg", "table", "mark", "details"} <= outline.tags
    assert "script" not in outline.tags
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_everything_in_the_report_is_escaped(story: RunStory) -> None:
    page = report_html(story)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8  # name twice, model, data, command, config, question, passages


def test_report_shows_scores_with_their_change(story: RunStory) -> None:
    page = report_html(story)
    assert "63.50" in page and "+58.50" in page
    assert "51m00s" in page
    assert 'aria-label="Evaluation, percent: F1 from 5 to 63.5; Exact match from 1 to 52."' in page


def test_score_that_fell_is_shown_as_such(story: RunStory) -> None:
    page = report_html(replace(story, scores_before={"f1": 70.0}))
    assert '<span class="down">−6.50</span>' in page


def test_report_of_a_run_without_anything_is_still_a_page() -> None:
    page = report_html(RunStory(name="empty"))
    assert "<h1>empty</h1>" in page
    assert "<h2>Scores" not in page


def test_unwritable_place_is_a_clear_error(story: RunStory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/report\.html cannot be written"):
        write_report(tmp_path / "file" / "report.html", story)


def test_gold_and_predicted_text_are_marked_in_the_passage(questions: list[ScoredQuestion]) -> None:
    assert '<mark class="gold predicted" title="predicted, and a gold answer">1963</mark>' in marked_passage(
        questions[0]
    )
    partly = marked_passage(questions[1])
    assert '<mark class="gold" title="gold answer">the old </mark><mark class="gold predicted"' in partly
    missed = marked_passage(questions[2])
    assert '<mark class="gold" title="gold answer">Zoë</mark>' in missed
    assert '<mark class="predicted" title="predicted answer">train</mark>' in missed
    text = re.sub(r"<[^>]+>", "", marked_passage(questions[1]))
    assert "in the old town of Łódź. &lt;script&gt;" in text


def test_long_passage_is_cut_around_the_answers() -> None:
    context = "a " * 3000 + "Zoë" + " b" * 3000 + " train" + " c" * 3000
    example, prediction = _question("1", "Who?", context, "Zoë", "train")
    html = marked_passage(ScoredQuestion(example, prediction, 0.0, 0.0))
    assert len(html) < 1200
    assert html.startswith("… ") and html.endswith(" …") and html.count("…") == 3


def test_passage_is_cut_between_words() -> None:
    context = " ".join(f"word{n}" for n in range(200))
    example, prediction = _question("1", "Which?", context, "word100", "word100")
    text = re.sub(r"<[^>]+>", "", marked_passage(ScoredQuestion(example, prediction, 1.0, 1.0))).strip("… ")
    assert set(text.split()) <= set(context.split())
    assert text.split()[0] != "word0"


def test_each_question_stands_in_the_gallery_of_its_outcome(questions: list[ScoredQuestion]) -> None:
    found = {gallery.title: [q.example.id for q in gallery.shown] for gallery in galleries(questions)}
    assert found == {
        "Answered exactly": ["1"],
        "Partly right": ["2"],
        "Missed": ["3"],
        "Left unanswered, though there is an answer": ["5"],
        "Answered, though there is no answer": ["4"],
    }


def test_galleries_take_the_same_questions_from_all_over_the_data(questions: list[ScoredQuestion]) -> None:
    many = [replace(questions[0], example=replace(questions[0].example, id=str(n))) for n in range(100)]
    (gallery,) = galleries(many, most=4)
    assert [q.example.id for q in gallery.shown] == ["12", "37", "62", "87"]
    assert gallery.count == 100


def test_scores_are_told_by_question_word_and_answer_length(questions: list[ScoredQuestion]) -> None:
    assert {(g.name, g.count, round(g.f1)) for g in by_question_word(questions)} == {
        ("when", 1, 100), ("what", 1, 86), ("who", 1, 0), ("how many", 1, 0), ("why", 1, 0),
    }  # fmt: skip
    assert [(g.name, g.count) for g in by_answer_length(questions)] == [
        ("1 word", 2), ("2 words", 1), ("3 to 5", 1), ("no answer", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "word"),
    [("By whom was it, and when?", "whom"), ("Somehow it is", "other"), ("它是谁写的？", "who"), ("为什么？", "why")],
)
def test_question_word_is_the_first_one(question: str, word: str) -> None:
    assert question_word(question) == word


def test_thinning_keeps_the_mean_and_smoothing_a_line() -> None:
    values = [(float(n), float(n % 7)) for n in range(4000)]
    thinned = thin(values)
    assert len(thinned) == 400
    assert sum(y for _, y in thinned) / 400 == pytest.approx(sum(y for _, y in values) / 4000)
    straight = [(float(n), 2.0 * n) for n in range(300)]
    assert smooth(straight)[150] == pytest.approx((150, 300))
    assert smooth([(0.0, 4.0)]) == [(0.0, 4.0)]


@pytest.mark.parametrize(
    "points", [[(1.0, 0.0)], [(1.0, 2.0), (2.0, 2.0)], [(0.0, -1e-9), (1.0, 1e-9)], [(0.0, 1e6), (9e5, -1e6)]]
)
def test_chart_of_awkward_values_stays_inside_its_frame(points: list[tuple[float, float]]) -> None:
    chart = line_chart([Line("x", points)], title="t", x_name="step")
    for name, most in (("cx|x1|x2", 460), ("cy|y1|y2", 270)):
        assert all(0 <= float(v) <= most for v in re.findall(rf' (?:{name})="([^"]+)"', chart))


def test_chart_without_points_says_so() -> None:
    assert "Nothing was logged" in line_chart([Line("x", [])], title="t", x_name="step")


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_loss_plot_is_a_png_whatever_was_logged(story: RunStory, tmp_path: Path, count: int) -> None:
    pytest.importorskip("matplotlib")
    path = write_loss_plot(story.metrics[: count + 1] if count else [], tmp_path / "loss.png", title=story.name)
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_story_says_what_the_configuration_says() -> None:
    config = RunConfig(
        model=ModelConfig(source="weights/bert_base.ckpt"),
        data=DataConfig(train_file="squad/train-v1.1.json", max_length=256, stride=128),
        training=TrainingConfig(batch_size=8, accumulate=2, epochs=3),
    )
    story = tell(config, device="cpu", workers=2, data={"licence": "CC BY-SA 4.0"})
    assert story.name == "bert_base on train-v1.1"
    assert story.setting["batch"] == "32 rows (8 rows a step x 2 steps accumulated x 2 workers)"
    assert story.setting["learning rate"] == "3e-05, warm-up 10%, then linear"
    assert story.data["windows"] == "256 tokens at most, 128 shared by two windows"
    assert story.data["licence"] == "CC BY-SA 4.0"
    assert "max_length: 256" in story.config_yaml


def test_documents_are_written_without_matplotlib_too(
    story: RunStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert [path.name for path in write_documents(tmp_path, story)] == ["report.html"]
    assert "no loss.png: matplotlib is needed to draw loss.png" in caplog.text


def test_documents_are_report_and_picture(story: RunStory, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_documents(tmp_path, story)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loss.png", "report.html"]


def test_card_tells_scores_origin_and_command(story: RunStory) -> None:
    card = card_body(story)
    assert card.startswith("# minilm \\<script\\>")
    assert "| F1 | 5.00 | 63.50 |" in card
    assert "- licence: Apache-2.0" in card
    assert f"```sh\nbert-ms train note='{EVIL}'\n```" in card
    assert "- seed: 42" in card and "- time: 51m00s" in card
    assert card.endswith("\n") and not card.startswith("---")


def test_code_block_is_fenced_longer_than_what_it_holds(story: RunStory) -> None:
    assert "````sh\na ``` b\n````" in card_body(replace(story, command="a ``` b"))


def test_machine_facts_name_versions_without_importing_mindspore() -> None:
    facts = machine_facts()
    assert {"processor", "system", "Python", "numpy"} <= facts.keys()
