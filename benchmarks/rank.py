"""Does `bert-ms hub rank` order checkpoints as training them does?

    python benchmarks/rank.py --data DIR --work DIR --checkpoints minilm chinese=DIR [--seeds 42 43]

Each of TASKS is ranked on 1,000 rows of 2,000, and each checkpoint is trained on all of them and scored on others, with
the same settings. A network of MiniLM's shape with random weights is made and joins as `random`. DIR of --data has
glue/, ner/ and zh/. Runs go to --work, outside the repository; what has a result there is not run again. The table is
printed, and written as results/rank.md and .json, after every result.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import real_data
from benchmarks.rank_table import table
from benchmarks.shapes import random_network

HERE = Path(__file__).resolve().parent
RANKED, TRAINED, SCORED = 1000, 2000, 1000
MAX_LENGTH, EPOCHS, BATCH_SIZE, LEARNING_RATE = 64, 4, 16, 2e-4
RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class RankTask:
    """One data set.

    Attributes:
        config: name of our configuration.
        train_file: below the data folder; rows to rank and to train on are taken from it evenly.
        dev_file: below the data folder, to score on; None holds out as the task comparison does.
        metric: of training.
    """

    config: str
    train_file: str
    dev_file: str | None = None
    metric: str


TASKS = {
    "sst2": RankTask(config="glue_sst2", train_file="glue/SST-2/train.tsv", metric="accuracy"),
    "chnsenticorp": RankTask(
        config="chnsenticorp",
        train_file="zh/chnsenticorp_train.tsv",
        dev_file="zh/chnsenticorp_dev.tsv",
        metric="accuracy",
    ),
    "wnut17": RankTask(
        config="ner_wnut17",
        train_file="ner/wnut17train.conll",
        dev_file="ner/wnut17_emerging.dev.conll",
        metric="f1",
    ),
    "weibo": RankTask(
        config="ner_weibo",
        train_file="zh/weiboNER_2nd_conll.train",
        dev_file="zh/weiboNER_2nd_conll.dev",
        metric="f1",
    ),
    "bc5cdr": RankTask(
        config="ner_bc5cdr", train_file="ner/bc5cdr_train.txt", dev_file="ner/bc5cdr_dev.txt", metric="f1"
    ),
}


def main() -> None:
    """Run what has no result yet, and write the table."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    sources = dict(_named(text) for text in options.checkpoints)
    sources[RANDOM] = str(random_network(options.work / RANDOM))
    files = {name: _files(name, options) for name in options.tasks}
    for name in options.tasks:
        _once(options, {"what": "rank", "task": name}, lambda name=name: rank(name, files[name], sources, options))
    for seed in options.seeds:
        for name in options.tasks:
            for checkpoint, source in sources.items():
                key = {"what": "train", "task": name, "checkpoint": checkpoint, "seed": seed}
                _once(options, key, lambda key=key, source=source: train(key, files[key["task"]], source, options))
    print(report(options))


def rank(name: str, files: tuple[Path, Path], sources: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """The ranking of all checkpoints, as `--json` prints it, by the names that they have here."""
    settings = [f"data.max_length={MAX_LENGTH}", f"threads={options.threads}", "device=cpu"]
    given = ["-c", TASKS[name].config, "--data", str(files[0]), "--rows", str(RANKED), "--json", "--quiet"]
    command = ["hub", "rank", *given, *sources.values(), *settings]
    found = json.loads(_run(command, options.work / f"rank-{name}.log"))
    if found["failures"]:
        raise SystemExit(f"{name}: {found['failures']}")
    by_source = {source: checkpoint for checkpoint, source in sources.items()}
    for candidate in found["candidates"]:
        candidate["source"] = by_source[candidate["source"]]
        del candidate["seconds"]  # the machine may have other work
    found["first"] = [by_source[source] for source in found["first"]]
    found["file"] = TASKS[name].train_file
    del found["verdict"], found["task"]  # the one names folders, the other is in the key
    return dict(found)


def train(key: dict[str, Any], files: tuple[Path, Path], source: str, options: argparse.Namespace) -> dict[str, Any]:
    """One training; its score after the last epoch, whichever epoch was best."""
    from bert_ms.training.metrics_log import METRICS, read_metrics

    task = TASKS[key["task"]]
    folder = options.work / f"train-{key['task']}-{key['checkpoint']}-{key['seed']}"
    settings: dict[str, object] = {
        "model.source": source,
        "data.train_file": files[0],
        "data.eval_file": files[1],
        "data.max_length": MAX_LENGTH,
        "data.max_eval_examples": SCORED,
        "training.epochs": EPOCHS,
        "training.batch_size": BATCH_SIZE,
        "training.evaluate_before": "false",
        "training.tensorboard": "false",
        "optimizer.learning_rate": LEARNING_RATE,
        "seed": key["seed"],
        "threads": options.threads,
        "device": "cpu",
        "output_dir": folder,
    }
    _run(["train", "-c", task.config, *(f"{k}={v}" for k, v in settings.items())], folder.with_suffix(".log"))
    last = [entry for entry in read_metrics(folder / METRICS) if entry["kind"] == "eval"][-1]
    shutil.rmtree(folder)
    return {"metric": task.metric, "score": last[task.metric]}


def report(options: argparse.Namespace) -> str:
    """Write the table of all results; returns it."""
    results = _read(options.work / "results.jsonl")
    text = table(results)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "rank.md").write_text(text, encoding="utf-8")
    lines = ",\n".join(" " + json.dumps(result) for result in results)
    (options.output / "rank.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return text


def evenly(path: Path, rows: int) -> bytes:
    """So many rows of a table, or sentences of a file in columns, at equal distances; a table's header stays."""
    content = path.read_bytes().replace(b"\r\n", b"\n")
    is_table = path.suffix == ".tsv"
    parts = re.split(rb"\n" if is_table else rb"\n[ \t]*\n", content)  # some files have blanks in the lines between
    head, parts = (parts[:1], parts[1:]) if is_table else ([], parts)
    parts = [part.strip(b"\n") for part in parts if part.strip() and not part.startswith(b"-DOCSTART-")]
    chosen = [parts[number * len(parts) // rows] for number in range(rows)] if len(parts) > rows else parts
    end = b"\n" if is_table else b"\n\n"
    return b"".join(part + end for part in [*head, *chosen])


def _files(name: str, options: argparse.Namespace) -> tuple[Path, Path]:
    """The rows to rank and to train on, and those to score on."""
    task, folder = TASKS[name], options.work / "rows" / name
    if task.dev_file is None:
        whole, dev = real_data.materialise(name, options.data, options.work / "splits")
    else:
        whole, dev = options.data / task.train_file, options.data / task.dev_file
    train_file = folder / f"train{'.tsv' if whole.suffix == '.tsv' else '.conll'}"
    folder.mkdir(parents=True, exist_ok=True)
    train_file.write_bytes(evenly(whole, TRAINED))
    return train_file, dev


def _once(options: argparse.Namespace, key: dict[str, Any], make: Any) -> None:
    """Make a result unless it is there, keep it, and write the table anew."""
    kept = options.work / "results.jsonl"
    if any(key.items() <= result.items() for result in _read(kept)):
        return
    result = {**key, **make()}
    with kept.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    print(" ".join(map(str, key.values())), result.get("score", ""), flush=True)
    report(options)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    return (name, source) if equals else (name, name)


def _run(arguments: list[str], log: Path) -> str:
    """Run `bert-ms` with its messages kept in `log`; returns what it printed.

    Raises:
        SystemExit: it failed; the text says where its messages are.
    """
    command = [sys.executable, "-m", "bert_ms.cli", *arguments]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(HERE.parent)}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=file, env=environment, text=True)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {shlex.join(command)}\nits messages are in {log}")
    return done.stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with glue/, ner/ and zh/")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs, outside the repository")
    parser.add_argument("--checkpoints", nargs="+", required=True, help="NAME=SOURCE, or a catalogue name")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[42])
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of a run (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
