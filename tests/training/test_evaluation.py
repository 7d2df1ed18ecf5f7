"""Outputs over a data set come back in its order, without padding, from one worker or several."""

from __future__ import annotations

import numpy as np
import pytest
from mindspore import Tensor, nn

from bert_ms.data.loader import EvaluationBatches
from bert_ms.records import Features
from bert_ms.tasks import Task
from bert_ms.training.distributed import Distributed
from bert_ms.training.evaluation import evaluation_mode, outputs_of

TASK = Task(name="echo", summary="", outputs=("doubled", "total"), row_outputs=("total",))
LENGTHS = (5, 9, 3, 12, 7, 1, 9)


class Echo(nn.Cell):
    """Twice each id, with the sum of each row."""

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        return input_ids * 2, (input_ids * attention_mask).sum(-1, keepdims=True)


def features() -> Features:
    splits = np.concatenate([[0], np.cumsum(LENGTHS)])
    ids = np.arange(1, splits[-1] + 1, dtype=np.int32)
    return Features(ids, np.zeros_like(ids), splits)


def expected() -> dict[str, np.ndarray]:
    rows = features()
    sums = np.add.reduceat(rows.input_ids, rows.row_splits[:-1])
    return {"doubled": rows.input_ids * 2.0, "total": sums[:, None].astype(np.float32)}


@pytest.mark.parametrize("buckets", [(), (4, 8, 12)])
def test_outputs_are_in_the_order_of_the_rows(graph_mode, buckets):
    batches = EvaluationBatches(features(), batch_size=2, buckets=buckets)
    found = outputs_of(Echo(), batches, features().row_splits, TASK)
    for name, values in expected().items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == np.float32


def test_workers_together_give_every_row_once(graph_mode):
    class Recording(Distributed):
        """Keeps what it is given to gather."""

        def gather_all(self, arrays):
            kept.append(dict(arrays))
            return [dict(arrays)]

    kept: list[dict[str, np.ndarray]] = []
    for rank in range(3):
        batches = EvaluationBatches(features(), batch_size=2, rank=rank, size=3)
        outputs_of(Echo(), batches, features().row_splits, TASK, distributed=Recording())
    rows = np.concatenate([part["row"] for part in kept])
    assert sorted(rows.tolist()) == list(range(len(LENGTHS)))

    class Together(Distributed):
        """Gives what all of them had."""

        def gather_all(self, arrays):
            return kept

    batches = EvaluationBatches(features(), batch_size=2, rank=0, size=3)
    found = outputs_of(Echo(), batches, features().row_splits, TASK, distributed=Together())
    for name, values in expected().items():
        np.testing.assert_array_equal(found[name], values)


def test_leaving_early_is_possible_before_each_batch(graph_mode):
    left = []

    def leave() -> None:
        left.append(True)
        if len(left) == 3:
            raise KeyboardInterrupt

    batches = EvaluationBatches(features(), batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        outputs_of(Echo(), batches, features().row_splits, TASK, before_batch=leave)
    assert len(left) == 3


def test_the_mode_of_the_network_is_put_back():
    network = Echo().set_train(True)
    with pytest.raises(ValueError, match="on purpose"), evaluation_mode(network):
        assert not network.training
        raise ValueError("on purpose")
    assert network.training
