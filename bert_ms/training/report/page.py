"""report.html, put together: one file without outside parts, readable on a phone, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from bert_ms.training.curves import score_points, smooth, train_points
from bert_ms.training.files import write_file
from bert_ms.training.progress import duration
from bert_ms.training.report.chart import Line, line_chart
from bert_ms.training.report.marked import marked_passage
from bert_ms.training.report.questions import (
    Gallery,
    Group,
    ScoredQuestion,
    by_answer_length,
    by_question_word,
    galleries,
)
from bert_ms.training.report.run import RunStory, score_name, score_text
from bert_ms.training.report.style import STYLE

REPORT = "report.html"
_LEAST_GAIN = 0.005  # smaller differences round to nothing


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
        _section("Curves", _charts(story)),
        _section("Scores", _scores(story)),
        _section("By kind of question", _breakdown(story.questions)),
        _section("Questions to look at", _galleries(story.questions)),
        _section("The run", _facts(story)),
        _section("Configuration", _configuration(story.config_yaml)),
        "<footer>Written by bert_ms. All numbers are also in <code>metrics.jsonl</code> and <code>eval.json</code>, "
        "beside this file.</footer>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(story.name)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def _tiles(story: RunStory) -> str:
    """The scores that count, big; and how long it took."""
    names = dict.fromkeys([story.main_metric, "exact_match", "f1", "accuracy"])
    tiles = [_score_tile(name, story) for name in names if name in story.scores]
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
        return _tile(score_name(name), score_text(name, after), "percent")
    return _tile(
        score_name(name), score_text(name, after), f"{_gain(after - before)} from {score_text(name, before)}", raw=True
    )


def _tile(what: str, value: str, note: str, *, raw: bool = False) -> str:
    below = note if raw else escape(note)
    return (
        f'<div class="card tile"><div class="what">{escape(what)}</div><div class="value">{escape(value)}</div>'
        f'<div class="from">{below}</div></div>'
    )


def _gain(difference: float) -> str:
    if abs(difference) < _LEAST_GAIN:
        return "unchanged"
    return f'<span class="{"up" if difference > 0 else "down"}">{difference:+.2f}</span>'.replace("-", "−", 1)


def _steps(story: RunStory) -> str:
    steps = max((line["step"] for line in story.metrics), default=0)
    return f"{steps:,} optimiser steps"


def _charts(story: RunStory) -> str:
    losses, rates = train_points(story.metrics, "loss"), train_points(story.metrics, "learning_rate")
    scores = score_points(story.metrics, [story.main_metric, "f1", "exact_match", "HasAns_f1", "NoAns_f1"])
    speed = train_points(story.metrics, "samples_per_second")
    step = "optimiser step"
    charts = []
    if losses:
        lines = [Line("each logged step", losses, 1, is_faint=True), Line("smoothed", smooth(losses), 1)]
        charts.append(line_chart(lines, title="Training loss", x_name=step, from_zero=True))
    if scores:
        lines = [
            Line(score_name(n), p, number, has_dots=True) for number, (n, p) in enumerate(list(scores.items())[:4], 1)
        ]
        charts.append(line_chart(lines, title="Evaluation, percent", x_name=step))
    if rates:
        charts.append(line_chart([Line("", rates, 2)], title="Learning rate", x_name=step, from_zero=True))
    if speed:
        charts.append(line_chart([Line("", speed, 3)], title="Samples per second", x_name=step, from_zero=True))
    return f'<div class="grid wide">{"".join(charts)}</div>' if charts else ""


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
            is_gain = None not in (before, after) and not name.endswith(("total", "thresh"))
            cells = [score_text(name, before), *cells, _gain((after or 0) - (before or 0)) if is_gain else ""]
        rows.append((score_name(name), cells))
    return f'<div class="card scroll">{_table(head, rows)}</div>'


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """The first column and the head are escaped here; the other cells are HTML, perhaps with a <td> of their own."""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = ""
    for name, cells in rows:
        wrapped = (cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
        body += f'<tr><th scope="row">{escape(name)}</th>{"".join(wrapped)}</tr>'
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _breakdown(questions: Sequence[ScoredQuestion]) -> str:
    if not questions:
        return ""
    tables = [("Kind", by_question_word(questions)), ("Gold answer", by_answer_length(questions))]
    return f'<div class="grid wide">{"".join(_group_table(name, groups) for name, groups in tables)}</div>'


def _group_table(name: str, groups: Sequence[Group]) -> str:
    rows = [
        (
            group.name,
            [
                f"{group.count:,}",
                f"{group.exact:.1f}",
                f"{group.f1:.1f}",
                f'<td class="bar" aria-hidden="true"><span><i style="width:{group.f1:.1f}%"></i></span></td>',
            ],
        )
        for group in groups
    ]
    return f'<div class="card scroll groups">{_table([name, "Questions", "Exact", "F1", ""], rows)}</div>'


def _galleries(questions: Sequence[ScoredQuestion]) -> str:
    found = galleries(questions)
    if not found:
        return ""
    legend = (
        '<p class="quiet"><mark class="gold">gold answer</mark> <mark class="predicted">predicted answer</mark> '
        '<mark class="gold predicted">both</mark></p>'
    )
    return legend + "".join(map(_gallery, found))


def _gallery(gallery: Gallery) -> str:
    shown = "".join(map(_question, gallery.shown))
    count = f"{len(gallery.shown)} of {gallery.count:,}" if gallery.count > len(gallery.shown) else f"{gallery.count:,}"
    return f'<h3>{escape(gallery.title)} <span class="badge">{count}</span></h3>{shown}'


def _question(question: ScoredQuestion) -> str:
    example, prediction = question.example, question.prediction
    gold = " / ".join(dict.fromkeys(answer.text for answer in example.answers)) or "no answer"
    share = next((c.probability for c in prediction.candidates if c.text == prediction.text), None)
    facts = [("Predicted", prediction.text or "no answer"), ("Gold", gold)]
    others = [c for c in prediction.candidates if c.text != prediction.text][:3]
    if others:
        facts.append(("Next best", "; ".join(f"{c.text or 'no answer'} ({c.probability:.0%})" for c in others)))
    badges = [f"F1 {100 * question.f1:.0f}"] + ([f"probability {share:.0%}"] if share is not None else [])
    title = f'<p class="quiet">{escape(example.title.replace("_", " "))}</p>' if example.title else ""
    return (
        f'<article class="card question">{title}<p class="asked">{escape(example.question.strip())}</p>'
        f'<p class="passage">{marked_passage(question)}</p>{_list(facts)}'
        f"<p>{''.join(f'<span class=badge>{escape(badge)}</span>' for badge in badges)}</p></article>"
    )


def _list(facts: Iterable[tuple[str, object]]) -> str:
    return "<dl>" + "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(v))}</dd>" for n, v in facts) + "</dl>"


def _facts(story: RunStory) -> str:
    sections = [("Model", story.model), ("Data", story.data), ("Training", story.setting), ("Machine", story.machine)]
    cards = [f'<div class="card"><h3 style="margin-top:0">{n}</h3>{_list(f.items())}</div>' for n, f in sections if f]
    command = f"<h3>Command</h3><pre>{escape(story.command)}</pre>" if story.command else ""
    return f'<div class="grid">{"".join(cards)}</div>{_times(story.seconds)}{command}'


def _times(seconds: Mapping[str, float]) -> str:
    """A bar of where the time went, with its legend."""
    total = sum(seconds.values())
    if not total:
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
