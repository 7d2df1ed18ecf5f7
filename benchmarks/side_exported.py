"""One network on real rows. Started by `exported.py`: SOURCE ROWS LENGTH MAX_LENGTH THREADS [DTYPE]."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import bert_ms
from benchmarks import side
from bert_ms.config import DataConfig, RunConfig
from bert_ms.data.loader import pad, take
from bert_ms.pipelines.loading import SAMPLE, needed_file
from bert_ms.records import INPUT_NAMES
from bert_ms.tasks import get
from bert_ms.tokenization import Tokenizer

TASK = "question-answering"


def batch(tokenizer: Tokenizer, rows: int, length: int, max_length: int) -> list[np.ndarray]:
    """Windows of the packaged questions, the longest that fit into a length."""
    config = RunConfig(task=TASK, data=DataConfig(eval_file=SAMPLE, max_length=max_length))
    work = get(TASK).load("work")(config, tokenizer)
    features = work.prepare(needed_file(config, "eval_file", "evaluate"), "predict").features
    lengths = features.lengths()
    fitting = np.flatnonzero(lengths <= length)
    chosen = fitting[np.argsort(-lengths[fitting], kind="stable")][:rows]
    padded = pad(take(features, chosen), length, size=rows, pad_token_id=tokenizer.pad_token_id)
    return [padded[name] for name in INPUT_NAMES]


def runner(
    source: str, threads: int, rows: int, length: int, max_length: int, dtype: str | None
) -> tuple[Callable[[], float], str]:
    """One pass from numpy ids to numpy logits, and what runs it."""
    from bert_ms.pipelines.opening import open_backend

    opened = open_backend(TASK, source, device="cpu", dtype=dtype, threads=threads)
    inputs = batch(opened.tokenizer, rows, length, max_length)
    return lambda: float(opened.backend.run(inputs)[0].sum()), f"{opened.format}, {opened.precision}"


def main() -> None:
    source, rows, length, max_length, threads = sys.argv[1], *map(int, sys.argv[2:6])
    step, what = runner(source, threads, rows, length, max_length, sys.argv[6] if len(sys.argv) > 6 else None)
    side.serve(step, lambda: {"versions": f"{what}; {_versions()}"})


def _versions() -> str:
    """Of what this process loaded."""
    names = [name for name in ("mindspore", "onnxruntime") if name in sys.modules]
    return ", ".join([f"bert_ms {bert_ms.__version__}", *(f"{n} {sys.modules[n].__version__}" for n in names)])


if __name__ == "__main__":
    main()
