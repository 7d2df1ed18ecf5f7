"""How fast SQuAD becomes features: bert_ms against Hugging Face's fast tokenizer with run_qa.py's label search.

    python benchmarks/featurize.py [--data train-v1.1.json] [--vocab vocab.txt]

Without arguments on the SQuAD sample of the package. The peer runs in an environment of its own, see peer_env.py. Both
sides run turn and turn about, on the same cores, on the same questions, and must give the same number of windows with
the same labels. The result is printed, and written as a table.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import zlib
from pathlib import Path
from time import perf_counter
from typing import Any

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parent / "bert_ms" / "sample" / "squad_train.json"
sys.path.insert(0, str(HERE.parent))  # for the sides as well: PYTHONPATH need not be set
SIDES = ("bert_ms", "transformers")


def main() -> None:
    """Run both sides in turns and write the table."""
    options = _options()
    if options.side:
        _serve(options)
        return
    from benchmarks.peer_env import peer_python

    pythons = {"bert_ms": sys.executable, "transformers": str(peer_python())}
    workers = {side: _start(python, side, options) for side, python in pythons.items()}
    facts = {side: json.loads(_ask(worker, "ready")) for side, worker in workers.items()}
    rounds: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side, worker in workers.items():
            rounds[side].append(json.loads(_ask(worker, "run")))
    for worker in workers.values():
        worker.communicate(timeout=60)
    checks = {json.dumps([run["windows"], run["labels"]]) for runs in rounds.values() for run in runs}
    if len(checks) != 1:
        raise SystemExit(f"the sides disagree on windows or labels: {sorted(checks)}")
    table = _table(options, facts, rounds)
    print(table)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(table, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SAMPLE, help="a SQuAD v1.1 or v2.0 file")
    parser.add_argument("--vocab", type=Path, default=None, help="vocab.txt of an uncased model; MiniLM's by default")
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "featurize.md")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.vocab is None:
        from bert_ms.hub.catalogue import resolve

        options.vocab = resolve("minilm") / "vocab.txt"
    return options


def _start(python: str, side: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [python, __file__, "--side", side, "--data", str(options.data), "--vocab", str(options.vocab),
               "--max-length", str(options.max_length), "--stride", str(options.stride)]  # fmt: skip
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true"}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def _ask(worker: subprocess.Popen[str], word: str) -> str:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(word + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        raise SystemExit("one side stopped: see its error above")
    return answer


def _serve(options: argparse.Namespace) -> None:
    """One side: make ready, then run whenever asked to."""
    run, versions = (_ours if options.side == "bert_ms" else _peer)(options)
    for line in sys.stdin:
        if line.strip() == "ready":
            run()  # warm up
            answer: dict[str, Any] = versions
        else:
            start = perf_counter()
            examples, windows, labels = run()
            seconds = perf_counter() - start
            answer = {"examples": examples, "windows": windows, "labels": labels, "seconds": seconds}
        print(json.dumps(answer), flush=True)


def _ours(options: argparse.Namespace) -> tuple[Any, dict[str, str]]:
    import numpy as np
    import tokenizers

    import bert_ms
    from bert_ms.data import squad
    from bert_ms.data.question_features import featurize
    from bert_ms.tokenization import Tokenizer

    examples = squad.read(options.data)
    tokenizer = Tokenizer.from_vocab(options.vocab)

    def run() -> tuple[int, int, int]:
        features = featurize(examples, tokenizer, max_length=options.max_length, stride=options.stride,
                             windows="overlap", max_query_length=None, with_labels=True)  # fmt: skip
        labels = np.stack([features.labels["start_positions"], features.labels["end_positions"]], 1)
        return len(examples), len(features), zlib.crc32(labels.astype("<i4").tobytes())

    return run, {"bert_ms": bert_ms.__version__, "tokenizers": tokenizers.__version__}


def _peer(options: argparse.Namespace) -> tuple[Any, dict[str, str]]:
    """What run_qa.py does to training data, in batches of 1000, padded to nothing and kept as lists."""
    import array

    import tokenizers
    import transformers

    vocab = options.vocab.read_text(encoding="utf-8").split("\n")
    ids = {word: index for index, word in enumerate(vocab[:-1])}
    tokenizer = transformers.BertTokenizerFast(vocab=ids, do_lower_case=True)
    questions, contexts, answers = [], [], []
    for article in json.loads(options.data.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                questions.append(question["question"].lstrip())
                contexts.append(paragraph["context"])
                answers.append(question["answers"][:1])

    def run() -> tuple[int, int, int]:
        labels = array.array("i")
        windows = 0
        for begin in range(0, len(questions), 1000):
            end = begin + 1000
            batch = tokenizer(questions[begin:end], contexts[begin:end], truncation="only_second",
                              max_length=options.max_length, stride=options.stride, return_overflowing_tokens=True,
                              return_offsets_mapping=True)  # fmt: skip
            windows += len(batch["input_ids"])
            for window, offsets in enumerate(batch["offset_mapping"]):
                answer = answers[begin + batch["overflow_to_sample_mapping"][window]]
                labels.extend(_find(batch.sequence_ids(window), offsets, answer))
        return len(questions), windows, zlib.crc32(labels.tobytes())

    return run, {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}


def _find(
    sequence_ids: list[int | None], offsets: list[tuple[int, int]], answer: list[dict[str, Any]]
) -> tuple[int, int]:
    """First and last token of the answer, 0 and 0 where the window does not hold it."""
    if not answer:
        return 0, 0
    first, last = sequence_ids.index(1), len(sequence_ids) - 1
    while sequence_ids[last] != 1:
        last -= 1
    start, end = answer[0]["answer_start"], answer[0]["answer_start"] + len(answer[0]["text"])
    if offsets[first][0] > start or offsets[last][1] < end:
        return 0, 0
    limit = last
    while first <= limit and offsets[first][0] <= start:
        first += 1
    while offsets[last][1] >= end:
        last -= 1
    return first - 1, last + 1


def _table(options: argparse.Namespace, facts: dict[str, Any], rounds: dict[str, list[dict[str, Any]]]) -> str:
    speeds = {side: [run["examples"] / run["seconds"] for run in runs] for side, runs in rounds.items()}
    ratio = statistics.median(a / b for a, b in zip(*(speeds[side] for side in SIDES), strict=True))
    run = rounds["bert_ms"][0]
    lines = [
        "# Featurising SQuAD",
        "",
        f"`python benchmarks/featurize.py --data {options.data.name} --vocab {options.vocab.name} --max-length "
        f"{options.max_length} --stride {options.stride}`",
        "",
        f"{datetime.date.today()}, {platform.system()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()}. {run['examples']:,} questions, {run['windows']:,} windows with the same "
        f"labels on both sides; {options.rounds} rounds, turn and turn about.",
        "",
        "| | versions | questions/s, median | slowest | fastest |",
        "|---|---|---|---|---|",
    ]
    for side in SIDES:
        versions = ", ".join(f"{name} {version}" for name, version in facts[side].items())
        speed = speeds[side]
        lines.append(
            f"| {side} | {versions} | {statistics.median(speed):,.0f} | {min(speed):,.0f} | {max(speed):,.0f} |"
        )
    lines += ["", f"bert_ms / transformers: **{ratio:.2f}** (median of the rounds' ratios)", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
