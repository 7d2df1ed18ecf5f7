"""The body of a model card: what the model is, what it learned from, how well it does, how it was made."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bert_ms.tasks.findings import TableFinding
from bert_ms.training.progress import duration
from bert_ms.training.report.elements import number_text
from bert_ms.training.report.run import RunStory
from bert_ms.training.report.scores import score_name, score_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


def card_body(story: RunStory) -> str:
    """Markdown of the card, without front matter.

    Args:
        story: licence and origin of the model and of the data stand among their facts ("licence", "source", ...).

    Returns:
        Text that ends with a newline; a heading of the first level comes first.
    """
    parts = [f"# {_plain(story.name)}", _summary(story)]
    for title, facts in (("Model", story.model), ("Data", story.data)):
        parts += _facts(title, facts)
    if story.scores:
        parts += ["## Scores", _scores(story)]
    for finding in story.findings:
        if isinstance(finding, TableFinding) and finding.is_in_card:
            parts += [f"## {_plain(finding.title)}", _table(finding)]
    setting = dict(story.setting)
    if story.seconds:
        setting["time"] = duration(sum(story.seconds.values()))
    parts += _facts("Training", setting)
    if story.command:
        parts += ["Command:", _code(story.command, "sh")]
    parts += _facts("Machine", story.machine)
    parts += [
        "## Limits",
        "The scores hold for the data named above. Other texts, longer ones or another language can score much "
        "lower; measure on your own data before relying on the model.",
    ]
    return "\n\n".join(parts) + "\n"


def _summary(story: RunStory) -> str:
    score = story.scores.get(story.main_metric)
    text = f"A network for {_plain(story.task)}, trained with bert_ms on MindSpore."
    if score is not None:
        before = story.scores_before.get(story.main_metric)
        gain = f" (before: {score_text(story.main_metric, before)})" if before is not None else ""
        text += f" {score_name(story.main_metric)} {score_text(story.main_metric, score)}{gain}."
    return text


def _facts(title: str, facts: Mapping[str, object]) -> list[str]:
    if not facts:
        return []
    return [f"## {title}", "\n".join(f"- {_plain(name)}: {_plain(str(value))}" for name, value in facts.items())]


def _scores(story: RunStory) -> str:
    has_before = bool(story.scores_before)
    lines = ["| Score | Before | After |", "|---|---:|---:|"] if has_before else ["| Score | Value |", "|---|---:|"]
    for name, value in story.scores.items():
        before = f" {score_text(name, story.scores_before.get(name))} |" if has_before else ""
        lines.append(f"| {_plain(score_name(name))} |{before} {score_text(name, value)} |")
    return "\n".join(lines)


def _table(finding: TableFinding) -> str:
    lines = [[_plain(name) for name in finding.columns], ["---", *["---:"] * (len(finding.columns) - 1)]]
    lines += [[_plain(number_text(cell)) for cell in row] for row in finding.rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(text: str, language: str) -> str:
    """A fenced block; its fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
