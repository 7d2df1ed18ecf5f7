"""A network's outputs over a whole data set, gathered from all workers without padding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bert_ms import compat
from bert_ms.data import ragged
from bert_ms.data.loader import ROW, EvaluationBatches
from bert_ms.data.plan import FILLER
from bert_ms.records import INPUT_NAMES
from bert_ms.tasks import Task
from bert_ms.training.distributed import Distributed

if TYPE_CHECKING:
    from mindspore import nn

# Shows progress: (batches, how many) -> the same batches.
Watch = Callable[[Iterable[dict[str, np.ndarray]], int], Iterator[dict[str, np.ndarray]]]
# A network, wherever it runs: arrays of a task's evaluation inputs -> its outputs, float32.
Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def outputs_of(
    network: nn.Cell,
    batches: EvaluationBatches,
    row_splits: np.ndarray,
    task: Task,
    *,
    distributed: Distributed | None = None,
    watch: Watch | None = None,
    before_batch: Callable[[], None] | None = None,
) -> dict[str, np.ndarray]:
    """Run a Cell over every row, in evaluation mode.

    Args:
        network: the task's, or its scorer: (its evaluation inputs) -> its outputs.
        batches: as of `gather_outputs`, as is what follows.
        row_splits: of all rows.
        task: names the outputs.
        distributed: this process among the workers.
        watch: shows progress.
        before_batch: called before each batch.

    Returns:
        The outputs by name, see `gather_outputs`, and with them the task's `decoding_weights`, as they are.
    """
    from bert_ms.model.running import run_cell

    run = partial(run_cell, network)
    with evaluation_mode(network):
        found = gather_outputs(
            run, batches, row_splits, task, distributed=distributed, watch=watch, before_batch=before_batch
        )
    return found | decoding_weights(network, task)


def gather_outputs(
    run: Run,
    batches: EvaluationBatches,
    row_splits: np.ndarray,
    task: Task,
    *,
    distributed: Distributed | None = None,
    watch: Watch | None = None,
    before_batch: Callable[[], None] | None = None,
) -> dict[str, np.ndarray]:
    """Run a network over every row.

    Args:
        run: the network.
        batches: this worker's part of the rows.
        row_splits: int64 [rows + 1], of all rows.
        task: names inputs and outputs.
        distributed: this process among the workers.
        watch: shows progress.
        before_batch: called before each batch; may raise to leave.

    Returns:
        By output, float32: [T, ...] for outputs that are one a token, row after row as `row_splits` has them;
        [rows, ...] for those that are one a row. The same on every worker.
    """
    distributed = distributed or Distributed()
    parts: dict[str, list[np.ndarray]] = {name: [] for name in task.outputs}
    seen: list[np.ndarray] = []
    lengths = np.diff(row_splits)
    for batch in batches if watch is None else watch(batches, len(batches)):
        if before_batch is not None:
            before_batch()
        outputs = run([batch[name] for name in task.evaluation_inputs])
        is_row = batch[ROW] != FILLER
        rows = batch[ROW][is_row]
        seen.append(rows)
        is_token = np.arange(batch[INPUT_NAMES[0]].shape[-1]) < lengths[rows][:, None]
        for name, output in zip(task.outputs, outputs, strict=False):
            values = output[is_row]
            parts[name].append(values if name in task.row_outputs else values[is_token])
    found = {name: np.concatenate(values) for name, values in parts.items() if values}
    order = np.concatenate(seen) if seen else np.zeros(0, np.int32)
    everyone = distributed.gather_all({ROW: order, **found})
    return {name: _in_order(everyone, name, row_splits, is_per_row=name in task.row_outputs) for name in found}


def decoding_weights(network: nn.Cell, task: Task) -> dict[str, np.ndarray]:
    """The parameters of a network that decoding needs, float32, by the names that the task gives them."""
    if not task.decoding_weights:
        return {}
    ms = compat.mindspore()
    return {
        name: parameter.astype(ms.float32).asnumpy()
        for name in task.decoding_weights
        for parameter in network.get_parameters()
        if f".{parameter.name}".endswith(f".{name}")
    }


def _in_order(
    everyone: Sequence[dict[str, np.ndarray]], name: str, row_splits: np.ndarray, *, is_per_row: bool
) -> np.ndarray:
    count = len(row_splits) - 1 if is_per_row else int(row_splits[-1])
    result = np.zeros((count, *everyone[0][name].shape[1:]), np.float32)
    for worker in everyone:
        rows = worker[ROW]
        places = rows if is_per_row else ragged.ranges(row_splits[rows], np.diff(row_splits)[rows])
        result[places] = worker[name]
    return result


@contextmanager
def evaluation_mode(network: nn.Cell) -> Iterator[None]:
    """Within the block the network computes without dropout; then it is as before."""
    was_training = network.training
    network.set_train(False)
    try:
        yield
    finally:
        network.set_train(was_training)
