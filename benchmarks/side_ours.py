"""Our side of a comparison. Started by `training_step.py` and `inference.py`: side_ours.py JOB MODEL ROWS LENGTH."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mindspore as ms

import bert_ms
from benchmarks import shapes, side
from bert_ms import compat, kernels, model
from bert_ms.config import BertConfig, RunConfig


def training(config: BertConfig, rows: int, length: int) -> Callable[[], float]:
    """One optimiser step of question answering: dropout, AdamW, global-norm clip; gives the loss."""
    from bert_ms.model.losses import WithLoss
    from bert_ms.training.updater import Updater

    network = WithLoss(model.build(config, "question-answering"))
    updater = Updater(network, RunConfig(), total_steps=100_000)
    inputs, done = shapes.batch(rows, length, with_labels=True), [0]

    def step() -> float:
        result = updater.update(done[0], [inputs])
        done[0] += 1
        return result.loss

    return step


def inference(config: BertConfig, rows: int, length: int) -> Callable[[], float]:
    """One forward pass from numpy ids to numpy vectors."""
    network = model.build(config, "encoder").set_train(False)
    inputs = shapes.batch(rows, length, with_labels=False)

    def step() -> float:
        hidden, pooled = network(*(ms.Tensor(array) for array in inputs))
        return float(hidden.asnumpy()[0, 0, 0] + pooled.asnumpy()[0, 0])

    return step


def main() -> None:
    job, name, rows, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    compat.use_device("cpu")
    config = BertConfig(
        **shapes.MODELS[name],
        vocab_size=shapes.VOCABULARY,
        hidden_dropout_prob=shapes.DROPOUT,
        attention_probs_dropout_prob=shapes.DROPOUT,
        add_pooler=job == "inference",
    )
    step = {"training": training, "inference": inference}[job](config, rows, length)
    side.serve(
        step, lambda: {"versions": f"bert_ms {bert_ms.__version__}, MindSpore {ms.__version__}; {_plain_status()}"}
    )


def _plain_status() -> str:
    """The kernels' status without the library's path."""
    return kernels.status().rsplit(", ", 1)[0] + (")" if "(" in kernels.status() else "")


if __name__ == "__main__":
    main()
