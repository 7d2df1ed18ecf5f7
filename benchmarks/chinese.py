"""A small Chinese BERT, pretrained here and fine-tuned beside its random initialisation:

    python benchmarks/chinese.py --data DIR --work DIR [--seeds 42 43] [--sides pretrained random]

DIR of --data holds chnsenticorp_{train,dev}.tsv, cluener_train.json and weiboNER_2nd_conll.{train,dev}. Text,
vocabulary, pretraining and fine-tunings go to --work, outside the repository, one after the other; what is there
already is not made again, and an interrupted run goes on. Every stage is a `bert-ms` command that a user could give.
Commands for other tasks or sides (--tasks weibo, --sides random) may run at the same time.

With the first seed each side is fine-tuned with both learning rates; other seeds take the rate that was the better one
for that side then. Scores are those after the last step. The table is printed, and written as results/chinese.md and
.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import chinese_text
from benchmarks.chinese_table import SIDES, TASKS, best_rate, table

HERE = Path(__file__).resolve().parent
CONFIG = HERE.parent / "configs" / "bert_small_zh.json"
PIECES = 5000


def main() -> None:
    """Make what is missing, and write the table."""
    options = _options()
    work, kept = options.work, options.work / "results.jsonl"
    text, vocabulary = work / "text", work / "vocabulary"
    if not (text / chinese_text.REVIEWS).is_file():
        chinese_text.make(options.data, text)
    if not (vocabulary / "vocab.txt").is_file():
        bert_ms(["vocabulary", text / chinese_text.TRAIN, vocabulary, "--size", PIECES], work / "vocabulary.log")
    if SIDES[0] in options.sides:
        pretrained(work, options.threads)
    for rate_number in range(max(len(task.rates) for task in TASKS.values())):
        for seed in options.seeds:
            for task in options.tasks:
                for side in options.sides:
                    rate = choose(read(kept), task, side, seed, first=options.seeds[0], number=rate_number)
                    if rate is not None:
                        finetuned(task, side, seed, rate, options)
                        report(options)
    print(report(options))


def choose(results: list[dict[str, Any]], task: str, side: str, seed: int, *, first: int, number: int) -> float | None:
    """The learning rate to run now: with the first seed each in turn, then the better one; None if there is none."""
    rates = TASKS[task].rates
    if seed == first:
        return rates[number]
    return best_rate(results, task, side, first) if number == len(rates) - 1 else None


def pretrained(work: Path, threads: int) -> None:
    """Pretrain, if that is not done, and keep its figures in work/pretraining.json.

    The processor's seconds of an attempt that was interrupted count too.
    """
    folder, figures = work / "pretrained", work / "pretraining.json"
    if (folder / "result.json").is_file() and figures.is_file():
        return
    command = pretraining_command(work, threads)
    spent = json.loads(figures.read_text(encoding="utf-8"))["cpu_seconds"] if figures.is_file() else 0.0
    begun = cpu_seconds()
    try:
        bert_ms(command, work / "pretraining.log")
    finally:
        entries = metrics_of(folder)
        found = {
            "command": shlex.join(map(str, ["bert-ms", *command])),
            "cpu_seconds": round(spent + cpu_seconds() - begun, 1),
            "threads": threads,
            "evaluations": [e for e in entries if e["kind"] == "eval"],
            "date": datetime.date.today().isoformat(),
            "versions": versions(),
        }
        figures.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def pretraining_command(work: Path, threads: int) -> list[str]:
    """Arguments of `bert-ms`; all that matters is in the configuration."""
    text = work / "text"
    return ["train", "-c", "pretrain_zh_small", f"config={CONFIG}", f"vocab={work / 'vocabulary' / 'vocab.txt'}",
            f"train_file={text / chinese_text.TRAIN}", f"eval_file={text / chinese_text.DEV}",
            f"threads={threads}", "device=cpu", f"output_dir={work / 'pretrained'}"]  # fmt: skip


def finetuned(task: str, side: str, seed: int, rate: float, options: argparse.Namespace) -> None:
    """Fine-tune one side, if that is not done, and add its result to work/results.jsonl."""
    kept = options.work / "results.jsonl"
    if any((r["task"], r["side"], r["seed"], r["rate"]) == (task, side, seed, rate) for r in read(kept)):
        return
    command = finetuning_command(task, side, seed, rate, options)
    folder, begun = folder_of(task, side, seed, rate, options.work), cpu_seconds()
    bert_ms(command, folder.with_name(f"{folder.name}.log"))
    last = [e for e in metrics_of(folder) if e["kind"] == "eval"][-1]
    result = {
        "task": task,
        "side": side,
        "seed": seed,
        "rate": rate,
        "score": last[TASKS[task].metric],
        "step": last["step"],
        "cpu_seconds": round(cpu_seconds() - begun, 1),
        "threads": options.threads,
        "command": shlex.join(map(str, ["bert-ms", *command])),
        "date": datetime.date.today().isoformat(),
    }
    with kept.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")
    print(f"{task} {side} seed {seed} rate {rate:g}: {result['score']:.2f}", flush=True)


def folder_of(task: str, side: str, seed: int, rate: float, work: Path) -> Path:
    """Where a fine-tuning goes."""
    return work / f"{task}-{side}-{seed}-{rate:g}"


def finetuning_command(task: str, side: str, seed: int, rate: float, options: argparse.Namespace) -> list[str]:
    """Arguments of `bert-ms`: both sides have the same but for where the weights come from."""
    chosen, work = TASKS[task], options.work
    files = {
        "chnsenticorp": (work / "text" / chinese_text.REVIEWS, options.data / "chnsenticorp_dev.tsv"),
        "weibo": (options.data / "weiboNER_2nd_conll.train", options.data / "weiboNER_2nd_conll.dev"),
    }[task]
    settings: dict[str, object] = {
        "data.train_file": files[0],
        "data.eval_file": files[1],
        "data.max_length": chosen.max_length,
        "model.hidden_dropout_prob": 0.1,
        "model.attention_probs_dropout_prob": 0.1,
        "training.epochs": chosen.epochs,
        "training.batch_size": 16,
        "training.eval_every": 1_000_000,  # at the end alone
        "training.evaluate_before": "false",
        "training.tensorboard": "false",
        "optimizer.learning_rate": rate,
        "seed": seed,
        "threads": options.threads,
        "device": "cpu",
        "output_dir": folder_of(task, side, seed, rate, work),
    }
    settings |= {
        "pretrained": {"model.source": work / "pretrained"},
        "random": {
            "model.source": "scratch",
            "model.config": CONFIG,
            "model.vocab": work / "vocabulary" / "vocab.txt",
        },
    }[side]
    return ["train", "-c", chosen.config, *(f"{key}={value}" for key, value in settings.items())]


def report(options: argparse.Namespace) -> str:
    """Write the table of all results so far, those of other commands too; returns it, empty before pretraining."""
    work, output = options.work, options.output
    if not (work / "pretraining.json").is_file():
        return ""
    pretraining = json.loads((work / "pretraining.json").read_text(encoding="utf-8"))
    results = read(work / "results.jsonl")
    text = table(pretraining, results)
    output.mkdir(parents=True, exist_ok=True)
    (output / "chinese.md").write_text(text, encoding="utf-8")
    content = json.dumps({"pretraining": pretraining, "finetuning": results}, indent=1) + "\n"
    for place, name in ((work, "WORK"), (options.data, "DATA")):
        content = content.replace(f"{place}/", f"{name}/")
    content = re.sub(rf"[^\s=]*/(configs/{CONFIG.name})", r"\1", content)
    (output / "chinese.json").write_text(content, encoding="utf-8")
    return text


def read(path: Path) -> list[dict[str, Any]]:
    """Results so far; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def metrics_of(folder: Path) -> list[dict[str, Any]]:
    """What a run wrote of itself; nothing if it did not get so far."""
    from bert_ms.training.metrics_log import METRICS, read_metrics

    return list(read_metrics(folder / METRICS)) if (folder / METRICS).is_file() else []


def versions() -> str:
    """Whose figures they are."""
    import mindspore

    import bert_ms

    return f"bert_ms {bert_ms.__version__}, MindSpore {mindspore.__version__}"


def cpu_seconds() -> float:
    """Processor time of all commands that have ended, user and system."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bert_ms(arguments: list[Any], log: Path) -> None:
    """Run a command with its messages kept in `log`.

    Raises:
        SystemExit: it failed; the text says where its messages are.
    """
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(HERE.parent)}
    command = [sys.executable, "-m", "bert_ms.cli", *map(str, arguments)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {shlex.join(command)}\nits messages are in {log}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets' files")
    parser.add_argument("--work", type=Path, required=True, help="folder of the runs, outside the repository")
    parser.add_argument("--seeds", nargs="*", type=int, default=[42, 43], help="of the fine-tunings (default 42 43)")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--sides", nargs="*", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a run (default 1)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
