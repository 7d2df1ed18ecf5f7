"""THE table of tasks: what each one reads, trains, decodes and is scored by. Looking things up imports nothing heavy.

A new task is a row here, a `Work` that knows its data, answers and scores (see `bert_ms.tasks.work`), and a head if it
needs a new one.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from bert_ms.errors import ConfigError, unknown
from bert_ms.records import (
    END_POSITIONS,
    INPUT_NAMES,
    LABELS,
    MASKED_POSITIONS,
    NEXT_SENTENCE_LABEL,
    START_POSITIONS,
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A row of the table; a name "module:attribute" is imported when it is asked for.

    Attributes:
        name: as configurations, commands and checkpoints say it.
        summary: one line for people.
        network: name of the network that `bert_ms.model.build` makes for it; None is the task's own name.
        head: class of the network's head, taking an encoder; None for the encoder itself.
        outputs: what the network, or the scorer where there is one, returns, in order.
        row_outputs: those of them that are one a row [B, ...]; the others are one a token [B, S, ...].
        labels: columns that the loss takes, in order; empty where there is no loss.
        objective: makes the Cell that training minimises from the network: (inputs, labels[, dropout_key]) -> loss;
            None takes the head's own loss.
        scorer: makes the Cell that evaluation runs from the network: (inputs, labels) -> outputs, for networks whose
            logits are too many to be kept; None runs the network itself.
        work: class of the task's `Work`; None where there is nothing to train or to score.
        metric: the score that decides which checkpoint is best.
        metrics: all scores that may decide, some of them on certain data only.
        segments: kinds of tokens that an input tells apart: 2 for pairs of texts.
        unused: patterns of parameters that the head leaves unused and training therefore leaves alone.
        decoding_weights: parameters that decoding needs where the network has them, by the end of their names; they
            are given to it beside the outputs.
        classes: what the loss tells apart by cross entropy, which the section `loss` of a configuration can reshape:
            "labels", the same for every row, or "choices", each row's own; None where it is neither.
        takes_many_files: its files may be folders or patterns.
        answers: the pipeline that `predict` answers the lines of a text file by; None predicts as it evaluates.
    """

    name: str
    summary: str
    network: str | None = None
    head: str | None = None
    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    objective: str | None = None
    scorer: str | None = None
    work: str | None = None
    metric: str | None = None
    metrics: tuple[str, ...] = ()
    segments: int = 1
    unused: tuple[str, ...] = ()
    decoding_weights: tuple[str, ...] = ()
    classes: Literal["labels", "choices"] | None = None
    takes_many_files: bool = False
    answers: str | None = None

    @property
    def evaluation_inputs(self) -> tuple[str, ...]:
        """Columns that evaluation gives to the network or the scorer, in order."""
        return (*INPUT_NAMES, *self.labels) if self.scorer is not None else INPUT_NAMES

    def evaluated(self, network: Any) -> Any:
        """The Cell that evaluation runs for a network: its scorer, or the network itself."""
        return network if self.scorer is None else self.load("scorer")(network)

    def load(self, what: str) -> Any:
        """The object that the attribute `what` (head, objective, scorer or work) names.

        Raises:
            ConfigError: the task has none.
        """
        name = getattr(self, what)
        if name is None:
            able = ", ".join(sorted(task.name for task in TASKS.values() if getattr(task, what)))
            raise ConfigError(f"task '{self.name}' has no {what}: it cannot be trained or scored. Choose from: {able}.")
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)


# Of a row's words, what the scorers of language models add up.
_MASKED_SUMS = ("masked_loss_sum", "masked_correct", "masked_count")
_NEXT_WORD_SUMS = ("next_word_loss_sum", "next_word_correct", "next_word_count")

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
    Task(
        name="sequence-classification",
        summary="a label for a text or a pair of texts: one, any number of them, or a number (GLUE, XNLI, TNEWS, ...)",
        head="bert_ms.model.heads.classification:SequenceClassification",
        outputs=("logits",),
        row_outputs=("logits",),
        labels=(LABELS,),
        work="bert_ms.tasks.sequence_classification:SequenceClassificationWork",
        metric="accuracy",
        metrics=("accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "matthews", "pearson", "spearman", "mse"),
        classes="labels",
    ),
    Task(
        name="multiple-choice",
        summary="the right one of several ends (SWAG)",
        head="bert_ms.model.heads.classification:MultipleChoice",
        outputs=("logits",),
        row_outputs=("logits",),
        labels=(LABELS,),
        work="bert_ms.tasks.multiple_choice:MultipleChoiceWork",
        metric="accuracy",
        metrics=("accuracy",),
        segments=2,
        classes="choices",
    ),
    Task(
        name="token-classification",
        summary="a tag for each word: named entities (CoNLL columns, CLUENER)",
        head="bert_ms.model.heads.token_classification:TokenClassification",
        outputs=("logits",),
        labels=(LABELS,),
        decoding_weights=("crf.transitions",),
        work="bert_ms.tasks.token_classification:TokenClassificationWork",
        metric="f1",
        metrics=("f1", "precision", "recall", "macro_f1", "weighted_f1", "strict_f1", "accuracy"),
        unused=("*pooler.*",),
        classes="labels",
    ),
    Task(
        name="next-sentence",
        summary="whether the second text follows the first",
        head="bert_ms.model.heads.classification:NextSentence",
        outputs=("logits",),
        row_outputs=("logits",),
        labels=(LABELS,),
        work="bert_ms.tasks.next_sentence:NextSentenceWork",
        metric="accuracy",
        metrics=("accuracy", "f1", "macro_f1", "micro_f1", "weighted_f1", "matthews"),
        segments=2,
        classes="labels",
    ),
    Task(
        name="pretraining",
        summary="masked words, and whether the second text follows the first, from raw text",
        head="bert_ms.model.heads.language_model:Pretraining",
        outputs=(*_MASKED_SUMS, "next_sentence_loss", "next_sentence_correct"),
        row_outputs=(*_MASKED_SUMS, "next_sentence_loss", "next_sentence_correct"),
        labels=(MASKED_POSITIONS, LABELS, NEXT_SENTENCE_LABEL),
        objective="bert_ms.model.heads.masked_positions:MaskedPositionsLoss",
        scorer="bert_ms.model.heads.masked_positions:MaskedPositionsScorer",
        work="bert_ms.tasks.pretraining:PretrainingWork",
        metric="loss",
        metrics=("loss", "perplexity", "masked_lm_accuracy", "next_sentence_accuracy"),
        segments=2,
        takes_many_files=True,
        answers="fill-mask",
    ),
    Task(
        name="masked-lm",
        summary="masked words, from raw text",
        head="bert_ms.model.heads.language_model:MaskedLM",
        outputs=_MASKED_SUMS,
        row_outputs=_MASKED_SUMS,
        labels=(MASKED_POSITIONS, LABELS),
        objective="bert_ms.model.heads.masked_positions:MaskedPositionsLoss",
        scorer="bert_ms.model.heads.masked_positions:MaskedPositionsScorer",
        work="bert_ms.tasks.masked_lm:MaskedLMWork",
        metric="loss",
        metrics=("loss", "perplexity", "masked_lm_accuracy"),
        unused=("*pooler.*",),
        takes_many_files=True,
        answers="fill-mask",
    ),
    Task(
        name="causal-lm",
        summary="the next word, from raw text",
        head="bert_ms.model.heads.language_model:CausalLM",
        outputs=_NEXT_WORD_SUMS,
        row_outputs=_NEXT_WORD_SUMS,
        labels=(LABELS,),
        scorer="bert_ms.model.heads.next_word:NextWordScorer",
        work="bert_ms.tasks.causal_lm:CausalLMWork",
        metric="loss",
        metrics=("loss", "perplexity", "next_word_accuracy"),
        unused=("*pooler.*",),
        takes_many_files=True,
        answers="text-generation",
    ),
)
TASKS: dict[str, Task] = {row.name: row for row in _ROWS}
# Hugging Face's names of pipelines for the same.
_ELSEWHERE = {
    "text-classification": "sequence-classification",
    "sentiment-analysis": "sequence-classification",
    "ner": "token-classification",
    "fill-mask": "masked-lm",
    "text-generation": "causal-lm",
    "feature-extraction": "encoder",
}


def get(name: str) -> Task:
    """The task called `name`.

    Raises:
        ConfigError: there is none; the nearest name is said.
    """
    if name not in TASKS:
        raise ConfigError(no_task(name))
    return TASKS[name]


def no_task(name: str) -> str:
    """What to say of a task that there is not.

    >>> no_task("ner")
    "unknown task 'ner': it is called 'token-classification' here."
    """
    if name in _ELSEWHERE:
        return f"unknown task '{name}': it is called '{_ELSEWHERE[name]}' here."
    return unknown("task", name, TASKS)


def names() -> tuple[str, ...]:
    """The names of all tasks, in the table's order."""
    return tuple(TASKS)
