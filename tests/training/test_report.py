"""report.html, loss.png and the card: whole, self-contained, and nothing in them is taken for markup."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bert_ms.config import DataConfig, ModelConfig, RunConfig, TrainingConfig
from bert_ms.config.objective import LossConfig, RegularizationConfig
from bert_ms.errors import TrainingError
from bert_ms.tasks.findings import ConfusionFinding, Exhibit, GalleryFinding, Part, Share, TableFinding
from bert_ms.training.curves import smooth, thin
from bert_ms.training.plots import write_loss_plot
from bert_ms.training.report import (
    RunStory,
    card_body,
    machine_facts,
    report_html,
    tell,
    tell_evaluation,
    write_documents,
    write_report,
)
from bert_ms.training.report.chart import Line, line_chart
from bert_ms.training.report.scores import ordered, score_name, score_text

EVIL = "<script>alert('x')</script>&amp;\"'"
VOID = {"meta", "br", "line", "circle", "polyline", "img", "link"}


FINDINGS = (
    TableFinding(title=f"By {EVIL}", section="Kinds", columns=["Kind", "F1"], rows=[[EVIL, 63.5]], bar="F1",
                 is_in_card=True),
    ConfusionFinding(title="Confusion", section="Kinds", rows=["a", EVIL], columns=["a", EVIL],
                     counts=[[3, 1], [0, 9]]),
    GalleryFinding(
        title="Missed",
        section="To look at",
        count=1234,
        meanings={"gold": f"gold {EVIL}"},
        exhibits=[
            Exhibit(
                origin=EVIL,
                heading=f"Who met? {EVIL}",
                passages=[[Part("Émile met "), Part("Zoë", "gold", "PER"), Part(f" in Łódź. {EVIL}")]],
                shares=[Share(f"label {EVIL}", 0.75, "predicted")],
                facts=[("Gold", EVIL)],
                badges=[f"F1 {EVIL}"],
            )
        ],
    ),
)  # fmt: skip


@pytest.fixture
def story() -> RunStory:
    metrics: list[dict[str, object]] = [{"kind": "eval", "step": 0, "f1": 5.0, "exact_match": 1.0}]
    for step in range(1, 1001):
        metrics.append({"kind": "train", "step": step, "loss": 3 * math.exp(-step / 300), "learning_rate": 1e-4})
    metrics.append({"kind": "eval", "step": 1000, "f1": 63.5, "exact_match": 52.0})
    return RunStory(
        name=f"minilm {EVIL}",
        task="question-answering",
        main_metric="f1",
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
        findings=FINDINGS,
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
    assert page.count(escape(EVIL)) >= 18  # of the story 6, of the findings the rest
    assert page.count("alert") == page.count("&lt;script&gt;alert")


def test_report_shows_scores_with_their_change(story: RunStory) -> None:
    page = report_html(story)
    assert "63.50" in page and "+58.50" in page
    assert "51m00s" in page
    assert 'aria-label="Evaluation, percent: F1 from 5 to 63.5; Exact match from 1 to 52."' in page


def test_score_that_fell_is_shown_as_such(story: RunStory) -> None:
    page = report_html(replace(story, scores_before={"f1": 70.0}))
    assert '<span class="down">−6.50</span>' in page


def test_a_loss_that_fell_is_a_gain_and_is_no_percentage(story: RunStory) -> None:
    page = report_html(
        replace(story, main_metric="perplexity", scores={"perplexity": 12.3456}, scores_before={"perplexity": 40.5})
    )
    assert '<span class="up">−28.2</span> from 40.5' in page and ">12.35<" in page


def test_tiles_are_those_of_the_main_metric(story: RunStory) -> None:
    scores = {"f1": 80.0, "accuracy": 90.0, "macro_f1": 70.0, "matthews": 60.0}
    page = report_html(replace(story, main_metric="matthews", scores=scores, scores_before={}))
    shown = re.findall(r'<div class="what">([^<]+)</div><div class="value">([^<]+)<', page)
    assert shown[:3] == [("Matthews correlation", "60.00"), ("F1", "80.00"), ("Accuracy", "90.00")]


def test_a_score_that_is_another_one_by_another_name_is_shown_once(story: RunStory) -> None:
    metrics = [{"kind": "eval", "step": n, "accuracy": 50.0 + n, "micro_f1": 50.0 + n, "f1": 40.0} for n in range(2)]
    scores = {"accuracy": 51.0, "micro_f1": 51.0, "f1": 40.0}
    page = report_html(
        replace(story, main_metric="accuracy", metrics=metrics, scores=scores, scores_before={}, seconds={})
    )
    assert re.findall(r'<div class="what">([^<]+)<', page) == ["Accuracy", "F1"]
    assert 'aria-label="Evaluation, percent: Accuracy from 50 to 51; F1 from 40 to 40."' in page
    assert '<th scope="row" class="short">Micro F1' in page  # the table has all


def test_scores_are_ordered_by_what_they_say() -> None:
    names = ["exact_match", "f1", "total", "HasAns_exact", "HasAns_f1", "best_f1", "best_f1_thresh", "loss"]
    assert ordered(names, "f1") == ["f1", "exact_match", "HasAns_f1", "best_f1", "HasAns_exact", "loss"]
    assert ordered(["accuracy", "loss", "perplexity"], "loss") == ["loss", "perplexity", "accuracy"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("spearman", 88.123, ("Spearman correlation", "88.12")),
        ("masked_lm_loss", 2.34567, ("Masked words, loss", "2.346")),
        ("total", 1200.0, ("Questions", "1,200")),
        ("weighted_f1", 50.0, ("Weighted F1", "50.00")),
        ("f1", None, ("F1", "–")),
    ],
)
def test_scores_are_told_in_their_units(name: str, value: float | None, words: tuple[str, str]) -> None:
    assert (score_name(name), score_text(name, value)) == words


def test_report_of_a_run_without_anything_is_still_a_page() -> None:
    page = report_html(RunStory(name="empty"))
    assert "<h1>empty</h1>" in page
    assert "<h2>Scores" not in page


def test_unwritable_place_is_a_clear_error(story: RunStory, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"file/report\.html cannot be written"):
        write_report(tmp_path / "file" / "report.html", story)


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
    metrics = story.metrics[: count + 1] if count else []
    path = write_loss_plot(metrics, tmp_path / "loss.png", title=story.name, scores=["f1"])
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
    assert story.data["length"] == "256 tokens at most"
    assert story.data["licence"] == "CC BY-SA 4.0"
    assert "max_length: 256" in story.config_yaml


def test_windows_are_told_of_where_there_are_windows() -> None:
    config = RunConfig(data=DataConfig(train_file="train.csv", max_length=256, stride=128))
    told = tell(config, device="cpu", has_windows=True)
    assert told.name == "minilm on train"
    assert told.data["windows"] == "256 tokens at most, 128 shared by two windows"
    assert "windows" not in tell(config, device="cpu").data


def test_what_is_minimised_is_told_where_it_is_not_the_plain_loss() -> None:
    assert "loss" not in tell(RunConfig(), device="cpu").setting
    config = RunConfig(loss=LossConfig(label_smoothing=0.1), regularization=RegularizationConfig(fgm_epsilon=0.5))
    assert tell(config, device="cpu").setting["loss"] == "label smoothing 0.1; FGM, epsilon 0.5"


def test_an_evaluation_is_told_without_training() -> None:
    config = RunConfig(data=DataConfig(train_file="train.csv", eval_file="dev.csv"))
    story = tell_evaluation(config, device="cpu", scores={"accuracy": 90.0}, main_metric="f1")
    assert story.name == "minilm on dev" and story.main_metric == "accuracy"
    assert "training" not in story.data and not story.setting
    page = report_html(story)
    assert "90.00" in page and "<h2>Curves" not in page and "<h3>Training" not in page


def test_documents_are_written_without_matplotlib_too(
    story: RunStory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert [path.name for path in write_documents(tmp_path, story)] == ["report.html", "findings.json"]
    assert "no loss.png: matplotlib is needed to draw loss.png" in caplog.text


def test_documents_are_report_and_picture(story: RunStory, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_documents(tmp_path, story)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["findings.json", "loss.png", "report.html"]


def test_findings_are_written_for_machines_too(story: RunStory, tmp_path: Path) -> None:
    bad = TableFinding(title="x", columns=["a", "b"], rows=[["r", float("nan")]])
    write_documents(tmp_path, replace(story, findings=[*FINDINGS, bad], metrics=()))
    found = json.loads((tmp_path / "findings.json").read_text(encoding="utf-8"))
    assert [each["kind"] for each in found] == ["table", "confusion", "gallery", "table"]
    assert found[1]["counts"] == [[3, 1], [0, 9]]
    assert found[2]["exhibits"][0]["passages"][0][1] == {"text": "Zoë", "mark": "gold", "label": "PER"}
    assert found[3]["rows"] == [["r", None]]
    assert not (tmp_path / "loss.png").exists()


def test_card_tells_scores_origin_and_command(story: RunStory) -> None:
    card = card_body(story)
    assert card.startswith("# minilm \\<script\\>")
    assert "| F1 | 5.00 | 63.50 |" in card
    assert "- licence: Apache-2.0" in card
    assert f"```sh\nbert-ms train note='{EVIL}'\n```" in card
    assert "- seed: 42" in card and "- time: 51m00s" in card
    assert card.endswith("\n") and not card.startswith("---")
    assert "| Kind | F1 |\n| --- | ---: |\n| \\<script\\>" in card


def test_code_block_is_fenced_longer_than_what_it_holds(story: RunStory) -> None:
    assert "````sh\na ``` b\n````" in card_body(replace(story, command="a ``` b"))


def test_machine_facts_name_versions_without_importing_mindspore() -> None:
    facts = machine_facts()
    assert {"processor", "system", "Python", "numpy"} <= facts.keys()
