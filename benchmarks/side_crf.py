"""One side of the CRF comparison. Started by `crf.py`: side_crf.py ours|ZOO_DIRECTORY JOB ROWS LENGTH LABELS."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mindspore as ms
import numpy as np

import bert_ms
from benchmarks import side
from bert_ms import compat
from bert_ms.config import CRF_STATES, BertConfig
from bert_ms.model.heads.crf import IMPOSSIBLE, Crf, viterbi

ZOO_FILE = Path("official/nlp/Bert/src/CRF.py")


def batch(rows: int, length: int, labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits [B, S, C], labels [B, S] of full rows (the zoo counts padding), transitions [C, C] of the zoo's layout."""
    rng = np.random.default_rng(30)
    states = labels + CRF_STATES
    transitions = rng.normal(size=(states, states)).astype(np.float32)
    transitions[labels, :], transitions[:, labels + 1] = IMPOSSIBLE, IMPOSSIBLE
    logits = rng.normal(0, 2, (rows, length, states)).astype(np.float32)
    return logits, rng.integers(0, labels, (rows, length)).astype(np.int32), transitions


def loss_step(cell: ms.nn.Cell, logits: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """Loss with the gradients of logits and transitions, from numpy to numpy; gives the loss."""
    gradient = ms.value_and_grad(cell, 0, [cell.transitions])

    def step() -> float:
        loss, (of_logits, of_transitions) = gradient(ms.Tensor(logits), ms.Tensor(labels))
        of_logits.asnumpy(), of_transitions[0].asnumpy()
        return float(loss.asnumpy())

    return step


def our_decoding(logits: np.ndarray, transitions: np.ndarray) -> Callable[[], float]:
    """The best path of each row; gives the sum of its tags."""
    everywhere = np.ones(logits.shape[:2], bool)
    return lambda: float(viterbi(logits, transitions, everywhere).sum())


def zoo_decoding(zoo: ModuleType, cell: ms.nn.Cell, logits: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """The zoo's best path of each row: its graph, then its walk back; gives the sum of its tags."""
    return lambda: float(np.sum(zoo.postprocess(*cell(ms.Tensor(logits), ms.Tensor(labels)))))


def load_zoo(directory: str) -> ModuleType:
    """The zoo's module, from the directory of its repository; MindSpore's compiler looks it up by its name."""
    spec = importlib.util.spec_from_file_location("zoo_crf", Path(directory) / ZOO_FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    which, job, (rows, length, labels) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:6])
    compat.use_device("cpu")
    logits, tags, transitions = batch(rows, length, labels)
    if which == "ours":
        cell, versions = Crf(BertConfig(num_labels=labels)), f"bert_ms {bert_ms.__version__}"
        cell.transitions.set_data(ms.Tensor(transitions))
        step = loss_step(cell, logits, tags) if job == "loss" else our_decoding(logits, transitions)
    else:
        zoo, versions = load_zoo(which), "model zoo, CRF.py"
        index = {**{str(i): i for i in range(labels)}, "<START>": labels, "<STOP>": labels + 1}
        cell = zoo.CRF(index, batch_size=rows, seq_length=length, is_training=job == "loss")
        cell.transitions.set_data(ms.Tensor(transitions))
        step = loss_step(cell, logits, tags) if job == "loss" else zoo_decoding(zoo, cell, logits, tags)
    side.serve(step, lambda: {"versions": f"{versions}, MindSpore {ms.__version__}"})


if __name__ == "__main__":
    main()
