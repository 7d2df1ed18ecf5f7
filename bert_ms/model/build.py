"""A network from a configuration and the name of a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext

from mindspore import nn
from mindspore.nn.utils import no_init_parameters

from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.model.bert import BertModel
from bert_ms.model.heads.question_answering import QuestionAnswering

# Task -> head on an encoder; None is the encoder itself.
HEADS: dict[str, Callable[[BertModel], nn.Cell] | None] = {
    "encoder": None,
    "question-answering": QuestionAnswering,
}


def build(
    config: BertConfig, task: str, *, num_labels: int | None = None, dtype: str = "float32", initialise: bool = True
) -> nn.Cell:
    """A network with random weights, in evaluation mode.

    Args:
        config: the architecture; `task` and `num_labels` given here replace what it says.
        task: one of HEADS.
        num_labels: outputs of a classifier head.
        dtype: "float32", "float16" or "bfloat16", see `BertModel`.
        initialise: draw the weights now; False leaves each parameter without data until `set_data` or `init_data`
            (a base network is then made in 0.1 s, where drawing takes 4 s).

    Returns:
        A Cell with the attribute `config`.

    Raises:
        ConfigError: the task or dtype is unknown.
    """
    if task not in HEADS:
        raise ConfigError(unknown("task", task, HEADS))
    changes: dict[str, object] = {"task": task}
    if num_labels is not None and num_labels != config.num_labels:
        changes |= {"num_labels": num_labels, "labels": ()}
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    head = HEADS[task]
    with nullcontext() if initialise else no_init_parameters():
        bert = BertModel(config, dtype=dtype)
        network = bert if head is None else head(bert)
    return network.set_train(False)
