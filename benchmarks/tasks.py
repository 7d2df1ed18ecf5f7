"""Fine-tuning on real data, ours beside PyTorch with Transformers:

    python benchmarks/tasks.py --data DIR --work DIR [--tasks mrpc wnut17] [--sides peer ours] [--seeds 42 43]

DIR of --data is the one that `real_data.py` reads. Runs of both sides go to --work, outside the repository, one after
the other; what has a result there is not run again, and an interrupted run of ours goes on. Two of these commands, one
for each side, may run at the same time. Ours is the command `bert-ms train` with the settings of
`real_data.py`, the peer's is `peer_tasks.py` with the same. The scores are those after the last epoch, so that no side
chooses by the data it is scored on. The table is printed, and written as results/tasks.md and .json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import real_data
from benchmarks.task_table import SIDES, table

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Run what has no result yet, and write the table."""
    options = _options()
    splits = options.work / "splits"
    for name in options.tasks:
        real_data.materialise(name, options.data, splits)
    kept = options.work / "results.jsonl"
    done = {(r["side"], r["task"], r["seed"]) for r in read(kept)}
    for name in options.tasks:
        for seed in options.seeds or real_data.TASKS[name].seeds:
            for side in options.sides:
                if (side, name, seed) in done:
                    continue
                result = {"ours": ours, "peer": peer}[side](name, seed, splits, options)
                result["date"] = datetime.date.today().isoformat()
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"{side} {name} seed {seed}: {result['epochs'][-1]}", flush=True)
                report(kept, options.output)
    print(report(kept, options.output))


def report(kept: Path, output: Path) -> str:
    """Write the table of all results, those of a second command too; returns it."""
    results = read(kept)
    text = table(results)
    output.mkdir(parents=True, exist_ok=True)
    (output / "tasks.md").write_text(text, encoding="utf-8")
    lines = ",\n".join(" " + json.dumps(result) for result in results)
    (output / "tasks.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return text


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with glue/ and ner/")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs, outside the repository")
    parser.add_argument("--tasks", nargs="*", default=list(real_data.TASKS), choices=list(real_data.TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, help="instead of those that real_data.py says")
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a run (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    return parser.parse_args()


def read(path: Path) -> list[dict[str, Any]]:
    """Results so far; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def peer(name: str, seed: int, splits: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run of the peer; its result."""
    from benchmarks.peer_env import peer_python
    from bert_ms.hub.catalogue import resolve

    command = [str(peer_python()), str(HERE / "peer_tasks.py"), "--data", str(splits), "--task", name,
               "--model", str(resolve("minilm")), "--seed", str(seed), "--threads", str(options.threads)]  # fmt: skip
    log = options.work / f"peer-{name}-{seed}.log"
    _run(command, log)
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def ours(name: str, seed: int, splits: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One run of ours; its result, as metrics.jsonl tells it."""
    import mindspore

    import bert_ms
    from bert_ms.training.metrics_log import METRICS, read_metrics

    folder = options.work / f"ours-{name}-{seed}"
    command = our_command(name, seed, splits, folder, options.threads)
    _run([sys.executable, "-m", "bert_ms.cli", *command], folder.with_suffix(".log"))
    entries = read_metrics(folder / METRICS)
    evaluations = [e for e in entries if e["kind"] == "eval" and e["step"] > 0]
    scores = [{key: value for key, value in e.items() if _is_score(key, value)} for e in evaluations]
    steps = [0, *(e["step"] for e in evaluations)]
    losses = [
        [e["loss"] for e in entries if e["kind"] == "train" and begin < e["step"] <= end]
        for begin, end in pairwise(steps)
    ]
    task = real_data.TASKS[name]
    reader = real_data.read_sentences if task.kind == "tokens" else lambda path: real_data.read_table(task, path)
    return {
        "side": "ours",
        "task": name,
        "seed": seed,
        "rows": [len(reader(path)) for path in real_data.files(name, splits)],
        "epochs": scores,
        "losses": [sum(part) / max(1, len(part)) for part in losses],
        "threads": options.threads,
        "versions": f"bert_ms {bert_ms.__version__}, MindSpore {mindspore.__version__}",
    }


def our_command(name: str, seed: int, splits: Path, folder: Path, threads: int) -> list[str]:
    """Arguments of `bert-ms` for one run: the named configuration, with all that matters said again."""
    task = real_data.TASKS[name]
    train, dev = real_data.files(name, splits)
    settings: dict[str, object] = {
        "data.train_file": train,
        "data.eval_file": dev,
        "data.max_length": task.max_length,
        "training.epochs": task.epochs,
        "training.batch_size": task.batch_size,
        "training.log_every": 1,
        "training.evaluate_before": "false",
        "training.tensorboard": "false",
        "optimizer.learning_rate": task.learning_rate,
        "optimizer.weight_decay": 0.01,
        "optimizer.eps": 1e-6,
        "optimizer.max_grad_norm": 1.0,
        "schedule.name": "linear",
        "schedule.warmup_ratio": 0.1,
        "seed": seed,
        "threads": threads,
        "device": "cpu",
        "output_dir": folder,
    }
    return ["train", "-c", task.config, *(f"{key}={value}" for key, value in settings.items())]


def _is_score(name: str, value: object) -> bool:
    return isinstance(value, int | float) and name not in ("step", "epoch", "seconds", "kind")


def _run(command: list[str], log: Path) -> None:
    """Run a command with its messages kept in `log`.

    Raises:
        SystemExit: it failed; the text says where its messages are.
    """
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(HERE.parent)}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {shlex.join(command)}\nits messages are in {log}")


if __name__ == "__main__":
    main()
