"""The CRF against the model zoo's own code:  python benchmarks/crf.py --zoo DIRECTORY

DIRECTORY is a checkout of github.com/mindspore-ai/models; of it only `official/nlp/Bert/src/CRF.py` is run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.turns import HERE, Side, machine

ZOO_FILE = Path("official/nlp/Bert/src/CRF.py")
JOBS = {"loss": "loss and gradients", "decode": "best paths"}
LENGTH = 128
NOTES = (
    f"Rows of {LENGTH} tokens, float32, graph mode, from numpy to numpy. Loss: with the gradients of logits and "
    "transitions. Best paths: ours in numpy, the zoo's by its graph and its `postprocess`. The zoo's recursions are "
    "unrolled, token by token, into the graph; ours multiplies neighbouring positions in pairs, and finds the best "
    "paths of all rows at once. All rows are full, since the zoo counts padding. First call: compiling included. The "
    "best paths are compared; the losses differ by the zoo's last step, which it scores from the wrong label."
)
HEAD = (
    "| what | labels | batch | ours, ms: median (min-max) | zoo, ms | times faster, pair by pair "
    "| first call, s: ours | zoo |\n|---|---|---|---|---|---|---|---|"
)


def compare(job: str, rows: int, labels: int, options: argparse.Namespace) -> dict[str, Any]:
    """One line of the table."""
    sides, first, values = [], [], []
    for which in ("ours", str(options.zoo)):
        arguments = [which, job, str(rows), str(LENGTH), str(labels)]
        one = Side(which, [sys.executable, str(HERE / "side_crf.py"), *arguments], options.threads)
        start = time.perf_counter()
        values.append(one.steps(1)["value"])
        first.append(time.perf_counter() - start)
        one.steps(options.warmup)
        sides.append(one)
    if job == "decode" and values[0] != values[1]:
        raise SystemExit(f"the best paths differ: their tags sum up to {values[0]} and {values[1]}.")
    seconds: list[list[float]] = [[], []]
    for _ in range(options.rounds):
        for times, one in zip(seconds, sides, strict=True):
            times.append(statistics.median(one.steps(options.steps)["seconds"]))
    for one in sides:
        one.close()
    ours, zoo = ([1000 * s for s in times] for times in seconds)
    result = {
        "job": JOBS[job], "labels": labels, "rows": rows, "ours_ms": ours, "zoo_ms": zoo, "first_s": first,
        "versions": [one.versions for one in sides],
    }  # fmt: skip
    print(line(result), flush=True)
    return result


def line(result: dict[str, Any]) -> str:
    """One result as a row of Markdown."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"

    ratios = [zoo / ours for ours, zoo in zip(result["ours_ms"], result["zoo_ms"], strict=True)]
    return (
        f"| {result['job']} | {result['labels']} | ({result['rows']}, {LENGTH}) | {spread(result['ours_ms'])} "
        f"| {spread(result['zoo_ms'])} | {spread(ratios)} | {result['first_s'][0]:.1f} | {result['first_s'][1]:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The CRF against the model zoo's.")
    parser.add_argument("--zoo", type=Path, required=True, help="checkout of github.com/mindspore-ai/models")
    parser.add_argument("--rows", type=int, nargs="+", default=[16, 32], help="batch sizes (default 16 32)")
    parser.add_argument("--labels", type=int, nargs="+", default=[9, 21], help="without START and STOP (default 9 21)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each side (default 7)")
    parser.add_argument("--steps", type=int, default=5, help="steps of a turn, whose median counts (default 5)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before anything counts (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each side (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    options = parser.parse_args()
    if not (options.zoo / ZOO_FILE).is_file():
        raise SystemExit(f"{options.zoo} holds no {ZOO_FILE}: give a checkout of github.com/mindspore-ai/models.")
    print(HEAD, flush=True)
    results = [
        compare(job, rows, labels, options) for job in JOBS for labels in options.labels for rows in options.rows
    ]
    today = datetime.date.today().isoformat()
    lines = "\n".join(map(line, results))
    text = (
        f"# CRF over token labels\n\n{NOTES}\n\n{HEAD}\n{lines}\n\n{today}; {machine()}; "
        f"{options.threads} threads a side; {options.rounds} turns of {options.steps} steps.\n"
        f"Ours: {results[0]['versions'][0]}.\nPeer: {results[0]['versions'][1]}.\n"
    )
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "crf.md").write_text(text, encoding="utf-8")
    document = {"notes": NOTES, "date": today, "machine": machine(), "length": LENGTH, "results": results}
    (options.output / "crf.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {options.output / 'crf.md'}, {options.output / 'crf.json'}")


if __name__ == "__main__":
    main()
