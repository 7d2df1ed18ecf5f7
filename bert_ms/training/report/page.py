"""report.html, put together: one file without outside parts, readable on a phone, everything escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path

from bert_ms.training.curves import score_points, smooth, train_points
from bert_ms.training.files import write_file
from bert_ms.training.progress import duration
from bert_ms.training.report import scores as words
from bert_ms.training.report.chart import Line, line_chart
from bert_ms.training.report.elements import card, facts, section, table
from bert_ms.training.report.findings import sections
from bert_ms.training.report.run import RunStory
from bert_ms.training.report.scores import score_name, score_text
from bert_ms.training.report.style import STYLE

REPORT = "report.html"
_MOST_TILES, _MOST_LINES = 3, 4


def write_report(path: str | Path, story: RunStory) -> Path:
    """Write report.html.

    Args:
        path: of the file.
        story: what to tell.

    Raises:
        TrainingError: the file cannot be written.
    """
    return write_file(path, report_html(story))


def report_html(story: RunStory) -> str:
    """The whole page."""
    parts = [
        f'<p class="eyebrow">bert_ms · {escape(story.task)}</p><h1>{escape(story.name)}</h1>',
        _tiles(story),
        section("Curves", _charts(story)),
        section("Scores", _scores(story)),
        sections(story.findings),
        section("The run", _facts(story)),
        section("Configuration", _configuration(story.config_yaml)),
        f"<footer>Written by bert_ms. {_files(story)}</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(story.name)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def _files(story: RunStory) -> str:
    """Where the numbers are to be had without the page."""
    there = {"metrics.jsonl": story.metrics, "eval.json": story.scores, "findings.json": story.findings}
    names = [f"<code>{name}</code>" for name, content in there.items() if content]
    if not names:
        return ""
    told = ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
    return f"All numbers are also in {told}, beside this file."


def _tiles(story: RunStory) -> str:
    """The scores that count, big; and how long it took."""
    names = words.ordered(story.scores, story.main_metric)
    tiles = [_score_tile(name, story) for name in words.distinct(names, story.scores.__getitem__)[:_MOST_TILES]]
    if story.seconds:
        total = sum(story.seconds.values())
        tiles.append(_tile("Time", duration(total), _steps(story)))
    losses = train_points(story.metrics, "loss")
    if losses:
        smoothed = smooth(losses)
        tiles.append(_tile("Training loss, smoothed", f"{smoothed[-1][1]:.3f}", f"from {smoothed[0][1]:.3f}"))
    return f'<div class="tiles">{"".join(tiles)}</div>' if tiles else ""


def _score_tile(name: str, story: RunStory) -> str:
    before, after = story.scores_before.get(name), story.scores[name]
    if before is None:
        return _tile(score_name(name), score_text(name, after), words.UNIT_NAMES[words.unit_of(name)])
    change = f"{_gain(name, before, after)} from {score_text(name, before)}"
    return _tile(score_name(name), score_text(name, after), change, raw=True)


def _tile(what: str, value: str, note: str, *, raw: bool = False) -> str:
    below = note if raw else escape(note)
    return (
        f'<div class="card tile"><div class="what">{escape(what)}</div><div class="value">{escape(value)}</div>'
        f'<div class="from">{below}</div></div>'
    )


def _gain(name: str, before: float, after: float) -> str:
    """The change, coloured by whether it is for the better."""
    text = words.gain_text(name, before, after)
    if not text:
        return "unchanged"
    is_better = (after > before) == words.is_better_high(name)
    return f'<span class="{"up" if is_better else "down"}">{text}</span>'


def _steps(story: RunStory) -> str:
    steps = max((line["step"] for line in story.metrics), default=0)
    return f"{steps:,} optimiser steps" if steps else ""


def _charts(story: RunStory) -> str:
    losses, rates = train_points(story.metrics, "loss"), train_points(story.metrics, "learning_rate")
    speed = train_points(story.metrics, "samples_per_second")
    step = "optimiser step"
    charts = []
    if losses:
        lines = [Line("each logged step", losses, 1, is_faint=True), Line("smoothed", smooth(losses), 1)]
        charts.append(line_chart(lines, title="Training loss", x_name=step, from_zero=True))
    charts += _score_charts(story)
    if rates:
        charts.append(line_chart([Line("", rates, 2)], title="Learning rate", x_name=step, from_zero=True))
    if speed:
        charts.append(line_chart([Line("", speed, 3)], title="Samples per second", x_name=step, from_zero=True))
    return f'<div class="grid wide">{"".join(charts)}</div>' if charts else ""


def _score_charts(story: RunStory) -> list[str]:
    """Evaluation scores over the steps: those in percent in one chart, each loss in one of its own."""
    names = words.ordered(words.evaluated(story.metrics), story.main_metric)
    names = words.distinct(names, lambda name: score_points(story.metrics, [name]).get(name))
    percent = [name for name in names if words.unit_of(name) == "percent"][:_MOST_LINES]
    groups = [(f"Evaluation: {score_name(name)}", [name]) for name in names if words.unit_of(name) == "loss"]
    if percent:
        is_first = words.unit_of(story.main_metric) != "loss"
        groups.insert(0 if is_first else len(groups), ("Evaluation, percent", percent))
    charts = []
    for title, some in groups:
        points = score_points(story.metrics, some)
        lines = [
            Line("" if title.endswith(score_name(name)) else score_name(name), values, number, has_dots=True)
            for number, (name, values) in enumerate(points.items(), 1)
        ]
        if any(len(line.points) > 1 for line in lines):
            charts.append(line_chart(lines, title=title, x_name="optimiser step"))
    return charts


def _scores(story: RunStory) -> str:
    if not story.scores:
        return ""
    names = list(dict.fromkeys([*story.scores, *story.scores_before]))
    has_before = bool(story.scores_before)
    head = ["Score", "Before", "After", "Change"] if has_before else ["Score", "Value"]
    rows = []
    for name in names:
        before, after = story.scores_before.get(name), story.scores.get(name)
        cells = [score_text(name, after)]
        if has_before:
            change = ""
            if before is not None and after is not None and words.unit_of(name) in ("percent", "loss"):
                change = _gain(name, before, after)
            cells = [score_text(name, before), *cells, change]
        rows.append((score_name(name), cells))
    return card("", "", table(head, rows))


def _facts(story: RunStory) -> str:
    groups = [("Model", story.model), ("Data", story.data), ("Training", story.setting), ("Machine", story.machine)]
    cards = [card(name, "", facts(some.items())) for name, some in groups if some]
    command = f"<h3>Command</h3><pre>{escape(story.command)}</pre>" if story.command else ""
    shown = f'<div class="columns">{"".join(cards)}</div>' if cards else ""
    return f"{shown}{_times(story.seconds)}{command}"


def _times(seconds: Mapping[str, float]) -> str:
    """A bar of where the time went, with its legend."""
    total = sum(seconds.values())
    if not total or len(seconds) == 1:
        return ""
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    bars = "".join(
        f'<span class="part c{1 + number % 4}" style="width:{100 * spent / total:.2f}%"></span>'
        for number, (_, spent) in enumerate(ordered)
    )
    keys = "".join(
        f'<span class="key c{1 + number % 4}"><i></i>{escape(name)} {duration(spent)} ({spent / total:.0%})</span>'
        for number, (name, spent) in enumerate(ordered)
    )
    return f'<h3>Where the time went</h3><div class="times" aria-hidden="true">{bars}</div><p class="legend">{keys}</p>'


def _configuration(text: str) -> str:
    return f"<details><summary>All values of this run</summary><pre>{escape(text)}</pre></details>" if text else ""
