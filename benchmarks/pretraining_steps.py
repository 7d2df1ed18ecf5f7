"""A hundred steps of pretraining, ours beside PyTorch with Transformers: the same batches, the same losses.

    python benchmarks/pretraining_steps.py --text FILE [--task masked-lm] [--source minilm] [--output DIR]

Text is cut and masked by our own code; weights (the head drawn by the seed) and batches are then given to both sides,
without dropout. The peer's optimiser, schedule and clipping are those of `peer_pretraining.py`. Printed, and written to
DIR/pretraining_steps.json, are the losses of both and how far they lie apart; beyond the tolerance the exit code is 1.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mindspore as ms
import numpy as np

import bert_ms
from benchmarks.peer_env import peer_python
from bert_ms import checkpoint, tasks
from bert_ms.config import DataConfig, ModelConfig, OptimizerConfig, PretrainingConfig, RunConfig, ScheduleConfig
from bert_ms.pipelines.loading import load_network, load_work, open_model
from bert_ms.records import INPUT_NAMES
from bert_ms.training.objective import objective
from bert_ms.training.session import start
from bert_ms.training.updater import Updater

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-3


def main() -> int:
    """Train on both sides and compare; returns the exit code."""
    options = _options()
    config = RunConfig(
        task=options.task,
        seed=options.seed,
        threads=options.threads,
        model=ModelConfig(source=options.source, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        data=DataConfig(train_file=options.text, max_length=options.max_length, buckets=(options.max_length,)),
        pretraining=PretrainingConfig(text=options.layout),
        optimizer=OptimizerConfig(learning_rate=options.learning_rate),
        schedule=ScheduleConfig(warmup_steps=options.warmup_steps),
    )
    with tempfile.TemporaryDirectory() as folder:
        batches, ours = _ours(config, options, Path(folder))
        theirs = _peer(options, Path(folder))
    differences = np.abs(np.array(ours) - np.array(theirs["losses"]))
    result = {
        "date": datetime.date.today().isoformat(),
        "settings": {**vars(options), "text": Path(options.text).name, "output": None},
        "versions": [f"bert_ms {bert_ms.__version__}, MindSpore {ms.__version__}", theirs["versions"]],
        "batches": {name: list(array.shape) for name, array in batches.items()},
        "largest_difference": float(differences.max()),
        "ours": [round(loss, 6) for loss in ours],
        "peer": [round(loss, 6) for loss in theirs["losses"]],
    }
    for step in sorted({0, *range(9, options.steps, 10), options.steps - 1}):
        print(f"step {step + 1:4d}   ours {ours[step]:.6f}   peer {theirs['losses'][step]:.6f}")
    print(f"largest difference of {options.steps} steps: {differences.max():.2e}, tolerance {TOLERANCE:g}")
    options.output.mkdir(parents=True, exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in result.items())
    text = "{\n " + ",\n ".join(lines) + "\n}\n"
    (options.output / "pretraining_steps.json").write_text(text, encoding="utf-8")
    return 0 if differences.max() < TOLERANCE else 1


def _ours(config: RunConfig, options: argparse.Namespace, folder: Path) -> tuple[dict[str, np.ndarray], list[float]]:
    """Write model and batches into the folder, then train on them: the batches and the loss of each step."""
    start(config)
    task, opened = tasks.get(config.task), open_model(config)
    work = load_work(config, opened)
    prepared = work.prepare(options.text, "train")
    network = load_network(config, opened, work)
    checkpoint.save(network, folder / "model", format="safetensors", tokenizer=opened.tokenizer)
    made = work.batches(prepared, batch_size=options.batch_size, seed=config.seed, rank=0, size=1).starting_at(0)
    taken = list(islice(made, options.steps))
    columns = (*INPUT_NAMES, *task.labels)
    batches = {name: np.stack([batch[name] for batch in taken]) for name in columns}
    np.savez(folder / "batches.npz", **batches)
    updater = Updater(objective(network, task, config), config, total_steps=options.steps, unused=task.unused)
    losses = []
    for step, batch in enumerate(taken):
        losses.append(updater.update(step, [[batch[name] for name in columns]]).loss)
    return batches, losses


def _peer(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    command = [str(peer_python()), str(HERE / "peer_pretraining.py"), "--batches", str(folder / "batches.npz"),
               "--model", str(folder / "model"), "--learning-rate", str(options.learning_rate),
               "--warmup-steps", str(options.warmup_steps), "--threads", str(options.threads)]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="a file of raw text")
    parser.add_argument("--layout", default="sentences", choices=("sentences", "paragraphs"), help="of the text")
    parser.add_argument("--task", default="masked-lm", choices=("masked-lm", "pretraining"))
    parser.add_argument("--source", default="minilm", help="weights to begin with")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--warmup-steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", type=Path, default=HERE / "results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
