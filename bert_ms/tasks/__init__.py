"""THE table of tasks: what each one reads, trains, decodes and is scored by. Looking things up imports nothing heavy.

A new task is a row here, a `Work` that knows its data, answers and scores (see `bert_ms.tasks.work`), and a head if it
needs a new one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from bert_ms.errors import ConfigError, unknown
from bert_ms.records import END_POSITIONS, START_POSITIONS


@dataclass(frozen=True, kw_only=True)
class Task:
    """A row of the table; a name "module:attribute" is imported when it is asked for.

    Attributes:
        name: as configurations, commands and checkpoints say it.
        summary: one line for people.
        head: class of the network's head, taking an encoder; None for the encoder itself.
        outputs: what the network returns, in order.
        row_outputs: those of them that are one a row [B, ...]; the others are one a token [B, S, ...].
        labels: columns that the loss takes, in order; empty where there is no loss.
        work: class of the task's `Work`; None where there is nothing to train or to score.
        metric: the score that decides which checkpoint is best.
        metrics: all scores that may decide, some of them on certain data only.
        segments: kinds of tokens that an input tells apart: 2 for pairs of texts.
        unused: patterns of parameters that the head leaves unused and training therefore leaves alone.
    """

    name: str
    summary: str
    head: str | None = None
    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    work: str | None = None
    metric: str | None = None
    metrics: tuple[str, ...] = ()
    segments: int = 1
    unused: tuple[str, ...] = ()

    def load(self, what: str) -> Any:
        """The object that the attribute `what` (head or work) names.

        Raises:
            ConfigError: the task has none.
        """
        name = getattr(self, what)
        if name is None:
            able = ", ".join(sorted(task.name for task in TASKS.values() if getattr(task, what)))
            raise ConfigError(f"task '{self.name}' has no {what}: it cannot be trained or scored. Choose from: {able}.")
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)


_ROWS = (
    Task(
        name="encoder",
        summary="hidden states of every token, with the pooled first one",
        outputs=("last_hidden_state", "pooled_output"),
        row_outputs=("pooled_output",),
    ),
    Task(
        name="question-answering",
        summary="the span of a passage that answers a question (SQuAD v1.1, v2.0, CMRC 2018, DRCD)",
        head="bert_ms.model.heads.question_answering:QuestionAnswering",
        outputs=("start_logits", "end_logits"),
        labels=(START_POSITIONS, END_POSITIONS),
        work="bert_ms.tasks.question_answering:QuestionAnsweringWork",
        metric="f1",
        metrics=("f1", "exact_match", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1", "best_exact"),
        segments=2,
        unused=("*pooler.*",),
    ),
)
TASKS: dict[str, Task] = {row.name: row for row in _ROWS}


def get(name: str) -> Task:
    """The task called `name`.

    Raises:
        ConfigError: there is none; the nearest name is said.
    """
    if name not in TASKS:
        raise ConfigError(unknown("task", name, TASKS))
    return TASKS[name]


def names() -> tuple[str, ...]:
    """The names of all tasks, in the table's order."""
    return tuple(TASKS)
