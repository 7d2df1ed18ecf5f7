"""Networks from pretrained weights, or from a configuration alone."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_ms import checkpoint, compat
from bert_ms.config import CRF_STATES, INT8, BertConfig
from bert_ms.hub import catalogue
from bert_ms.hub.inspection import no_head

if TYPE_CHECKING:
    from mindspore import nn

logger = logging.getLogger(__name__)


def from_config(
    config: BertConfig | Mapping[str, Any] | str | os.PathLike[str],
    task: str = "encoder",
    num_labels: int | None = None,
    dtype: str | None = None,
) -> nn.Cell:
    """A network with random weights, by the paper's initialisation.

    Args:
        config: a configuration, a mapping of any peer's keys, or a file.
        task: a task name; CONTRACT lists what each returns.
        num_labels: outputs of a classifier head.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16.

    Returns:
        A Cell in evaluation mode, with `config`.

    Raises:
        ConfigError: the configuration, task or dtype is not valid.
    """
    from bert_ms import model

    settled = config if isinstance(config, BertConfig) else _read_config(config)
    return model.build(settled, task, num_labels=num_labels, dtype=dtype or "float32")


def from_pretrained(
    source: str | os.PathLike[str],
    task: str = "encoder",
    *,
    config: BertConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    num_labels: int | None = None,
    dtype: str | None = None,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] = (),
) -> nn.Cell:
    """A network with the weights of a directory, a file, or a catalogue name; the format is told by the content.

    Everything in the network must be in the file and the other way round, except that a new task head is initialised,
    and that optimiser state, buffers and other tasks' heads are left out; the report names them.

    Args:
        source: a directory, a file, or a name such as "minilm".
        task: a task name.
        config: the configuration, where the source has none; it may not contradict the source's own.
        num_labels: outputs of a new classifier head.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16; or "int8", for answers on a CPU: the layers'
            weights are rounded as they are loaded, see `bert_ms.model.rounding`.
        allow_missing: patterns (`pooler.*`) of parameters that may keep their initial values.
        allow_unused: patterns of tensors in the file that may be left over.

    Returns:
        A Cell in evaluation mode, with `config` and `load_report`.

    Raises:
        CheckpointError: the weights are broken, of an unknown kind, or do not fit.
        ConfigError: a configuration, the task or the dtype is not valid, or there is no such network in int8.
        DeviceError: dtype is int8, and native operators of a CPU are not used.
    """
    return from_checkpoint(
        checkpoint.open_checkpoint(catalogue.resolve(source), config=config),
        task,
        num_labels=num_labels,
        dtype=dtype,
        allow_missing=allow_missing,
        allow_unused=allow_unused,
    )


def from_trained(
    opened: checkpoint.Checkpoint,
    task: str,
    *,
    shown: str | os.PathLike[str],
    otherwise: str,
    dtype: str | None = None,
    allow_new_head: bool = False,
) -> nn.Cell:
    """As `from_checkpoint`, for a network that is to answer: its head may not be new.

    Args:
        opened: the checkpoint.
        task: a task name.
        shown: the source as errors call it.
        otherwise: what to do instead of training it, for the error.
        dtype: numbers to compute in.
        allow_new_head: answer though the head is random (for tests).

    Raises:
        CheckpointError: the weights have no head for the task, or see `from_pretrained`.
    """
    network = from_checkpoint(opened, task, dtype=dtype)
    initialised = network.load_report.initialised
    if initialised and not allow_new_head:
        raise no_head(opened, task, initialised, shown=shown, otherwise=otherwise)
    return network


def from_checkpoint(
    opened: checkpoint.Checkpoint,
    task: str = "encoder",
    *,
    num_labels: int | None = None,
    dtype: str | None = None,
    allow_missing: Sequence[str] = (),
    allow_unused: Sequence[str] = (),
    initialise: Sequence[str] = (),
) -> nn.Cell:
    """A network with the weights of an opened checkpoint; see `from_pretrained`. What int8 refuses is not read first.

    Args:
        opened: the checkpoint; its `config` may have been changed in what is no part of the weights used.
        task: a task name.
        num_labels: outputs of a new classifier head.
        dtype: numbers to compute in.
        allow_missing: patterns of parameters that may keep their initial values.
        allow_unused: patterns of tensors in the file that may be left over.
        initialise: patterns of parameters that are made anew whatever the file has.
    """
    from bert_ms import model

    settled = opened.config
    notes = []
    labels = opened.shapes.get("classifier.weight")
    if settled.num_labels is None and labels is not None:
        settled = dataclasses.replace(settled, num_labels=labels[0] - CRF_STATES * settled.has_crf)
    if task == "encoder" and "pooler.dense.weight" not in opened.entries:
        settled = dataclasses.replace(settled, add_pooler=False)
        notes.append("the file has no pooler: the encoder returns the hidden states only")
    is_rounded = dtype == INT8
    if is_rounded:
        model.check_rounding(settled, task)
    with compat.parameters_left_empty():
        cell = model.build(settled, task, num_labels=num_labels, dtype="float32" if is_rounded else dtype or "float32")
    report = checkpoint.load_into(
        cell,
        opened,
        allow_missing=allow_missing,
        allow_unused=allow_unused,
        initialise=initialise,
        notes=notes,
    )
    cell.load_report = report
    logger.info("%s", report.summary())
    return model.round_to_int8(cell) if is_rounded else cell


def with_loss(cell: nn.Cell) -> nn.Cell:
    """A Cell that takes the inputs and the task's labels, and gives the scalar loss.

    Args:
        cell: a network with a task head.

    Returns:
        A Cell: (input_ids, attention_mask, token_type_ids, *labels) -> float32 scalar.
    """
    from bert_ms import model

    return model.WithLoss(cell)


def _read_config(config: Mapping[str, Any] | str | os.PathLike[str]) -> BertConfig:
    if isinstance(config, Mapping):
        return BertConfig.from_dict(config, source="config")
    return BertConfig.from_file(config)
