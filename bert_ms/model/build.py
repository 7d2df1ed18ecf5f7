"""A network from a configuration and the name of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from mindspore import nn
from mindspore.nn.utils import no_init_parameters

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.model.bert import BertModel, CrossBertModel
from bert_ms.model.heads.classification import MultipleChoice, NextSentence, SequenceClassification
from bert_ms.model.heads.crf import CrfTokenClassification
from bert_ms.model.heads.language_model import CausalLM, CrossCausalLM, MaskedLM, Pretraining
from bert_ms.model.heads.question_answering import QuestionAnswering
from bert_ms.model.heads.token_classification import TokenClassification


@dataclass(frozen=True)
class Head:
    """What a task's network is made of.

    Attributes:
        make: the head on an encoder; None is the encoder itself.
        reads_pooler: the head reads the pooled output; the encoder of the others has no pooler.
        is_decoder: attention looks at earlier positions only.
        may_cross: there is such a network on a decoder that attends to another encoder.
        num_labels: outputs of the classifier where nobody says; None where the task has no labels of its own.
    """

    make: Callable[[BertModel], nn.Cell] | None
    reads_pooler: bool = False
    is_decoder: bool = False
    may_cross: bool = False
    num_labels: int | None = None


def _token_classification(bert: BertModel) -> nn.Cell:
    return CrfTokenClassification(bert) if bert.config.has_crf else TokenClassification(bert)


def _causal_lm(bert: BertModel) -> nn.Cell:
    return CrossCausalLM(bert) if bert.config.add_cross_attention else CausalLM(bert)


# Two labels where nothing is said: the meaning of a Hugging Face configuration without id2label.
_USUAL_LABELS = 2

HEADS: dict[str, Head] = {
    "encoder": Head(None, may_cross=True),
    "pretraining": Head(Pretraining, reads_pooler=True),
    "masked-lm": Head(MaskedLM),
    "causal-lm": Head(_causal_lm, is_decoder=True, may_cross=True),
    "next-sentence": Head(NextSentence, reads_pooler=True),
    "sequence-classification": Head(SequenceClassification, reads_pooler=True, num_labels=_USUAL_LABELS),
    "multiple-choice": Head(MultipleChoice, reads_pooler=True),
    "token-classification": Head(_token_classification, num_labels=_USUAL_LABELS),
    "question-answering": Head(QuestionAnswering),
}


def build(
    config: BertConfig, task: str, *, num_labels: int | None = None, dtype: str = "float32", initialise: bool = True
) -> nn.Cell:
    """A network with random weights, in evaluation mode.

    Args:
        config: the architecture; `task` and `num_labels` given here replace what it says, and a head settles
            `add_pooler` and `is_decoder`.
        task: one of HEADS.
        num_labels: outputs of a classifier head; None takes the configuration's, or 2 where it has none.
        dtype: "float32", "float16" or "bfloat16", see `BertModel`.
        initialise: draw the weights now; False leaves each parameter without data until `set_data` or `init_data`
            (a base network is then made in 0.1 s, where drawing takes 4 s).

    Returns:
        A Cell with the attribute `config`.

    Raises:
        ConfigError: the task or dtype is unknown, or the config asks for cross attention where there is none.
    """
    if task not in HEADS:
        raise ConfigError(unknown("task", task, HEADS))
    head = HEADS[task]
    if config.add_cross_attention:
        _check_cross_attention(config, task, head)
    config = _settle(config, task, head, num_labels)
    with nullcontext() if initialise else no_init_parameters():
        bert = (CrossBertModel if config.add_cross_attention else BertModel)(config, dtype=dtype)
        network = bert if head.make is None else head.make(bert)
    return network.set_train(False)


def _check_cross_attention(config: BertConfig, task: str, head: Head) -> None:
    if not head.may_cross:
        tasks = " or ".join(name for name, other in HEADS.items() if other.may_cross)
        raise ConfigError(f"add_cross_attention is true, and {task} has no other encoder to attend to: choose {tasks}.")
    if config.relative_position != "none":
        raise ConfigError(
            f"add_cross_attention with relative_position '{config.relative_position}': NEZHA defines no cross "
            "attention. Choose absolute positions or relative_key."
        )


def _settle(config: BertConfig, task: str, head: Head, num_labels: int | None) -> BertConfig:
    """The configuration as the task's network has it."""
    changes: dict[str, Any] = {"task": task}
    if num_labels is not None and num_labels != config.num_labels:
        changes |= {"num_labels": num_labels, "labels": ()}
    elif num_labels is None and head.make is not None and head.num_labels is None:
        changes |= {"num_labels": None, "labels": ()}  # of another task
    elif config.num_labels is None:
        changes |= {"num_labels": head.num_labels}
    if head.make is not None:
        is_tagger = task == "token-classification"
        changes |= {"has_crf": config.has_crf and is_tagger, "has_lstm": config.has_lstm and is_tagger}
        changes |= {"add_pooler": head.reads_pooler, "is_decoder": config.is_decoder or head.is_decoder}
    return dataclasses.replace(config, **changes)
