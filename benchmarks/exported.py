"""Exported networks against the Cell that they were made of:

    python benchmarks/exported.py runs/squad_sample [--shapes base]

Makes ONNX float32, INT8 dynamic and INT8 static of a network that answers questions, runs them and the Cell, in float32
and in INT8 (dtype int8), turn and turn about on the same rows of the packaged sample, and scores each on --evaluation.
Networks of --shapes have random weights: they are timed, not scored.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.shapes import MODELS, random_network
from benchmarks.turns import HERE, Side, machine, shown, spread

TITLE = "Exported networks, question answering"
NOTES = (
    "One forward pass from numpy ids to numpy logits, on the longest rows of the packaged sample that fit; the ratio "
    "is to the Cell in float32, turn by turn. Exact match and F1 are by `bert-ms evaluate`, of all questions. INT8 was "
    "calibrated on 64 windows of the sample's training questions, but for the Cell's, which needs none: it rounds the "
    "float32 file as it is loaded, so that its MB are the same. Where there are no scores the weights are random: such "
    "a network stands for the speed of its shape."
)
TRAINING = HERE.parent / "bert_ms/sample/squad_train.json"
CELL, CELL_INT8 = "Cell, float32", "Cell, INT8"
DTYPES = {CELL_INT8: "int8"}  # of networks that are not computed in what their source says
EXPORTS: dict[str, list[str]] = {
    "ONNX, float32": [],
    "ONNX, INT8 dynamic": ["--quantize", "dynamic", "--calibration", str(TRAINING)],
    "ONNX, INT8 static": ["--quantize", "static", "--calibration", str(TRAINING)],
}
HEAD = "| of | network | batch | rows/s: median (min-max) | times the Cell, pair by pair | EM | F1 | F1 lost | MB |\n"
RULE = "|---|---|---|---|---|---|---|---|---|"


def command(*arguments: str, threads: int) -> None:
    """Run a command of ours in a process of its own.

    Raises:
        SystemExit: it failed; its messages are above.
    """
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    done = subprocess.run([sys.executable, "-m", "bert_ms.cli", *arguments], env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"bert-ms {' '.join(arguments)} ended with exit code {done.returncode}.")


def exported(source: Path, folder: Path, threads: int) -> dict[str, Path]:
    """The source of each network by its name: twice the one that was given, then a folder for each export."""
    found = {CELL: source, CELL_INT8: source}
    for name, arguments in EXPORTS.items():
        target = folder / f"{len(found)}"
        command("export", str(source), str(target), *arguments, threads=threads)
        found[name] = target
    return found


def scores(name: str, source: Path, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Exact match and F1 of a network by its name."""
    output = folder / f"scores of {name}"
    dtype = [f"precision.dtype={one}" for one in _dtype(name)]
    command(
        "evaluate", "-c", options.config, f"model.source={source}", f"data.max_length={options.max_length}",
        f"data.eval_file={options.evaluation}", f"output_dir={output}", *dtype, threads=options.threads,
    )  # fmt: skip
    found = json.loads((output / "eval.json").read_text(encoding="utf-8"))
    return {name: found[name] for name in ("exact_match", "f1")}


def speeds(networks: dict[str, Path], rows: int, length: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rows a second of each network in each turn, and what ran it."""
    arguments = [str(rows), str(length), str(options.max_length), str(options.threads)]
    script = str(HERE / "side_exported.py")
    sides = {
        name: Side(name, [sys.executable, script, str(path), *arguments, *_dtype(name)], options.threads)
        for name, path in networks.items()
    }
    for one in sides.values():
        one.steps(options.warmup)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, one in sides.items():
            found[name].append(rows / statistics.median(one.steps(options.steps)["seconds"]))
    for one in sides.values():
        one.close()
    return {"speeds": found, "versions": {name: one.versions for name, one in sides.items()}}


def line(subject: dict[str, Any], name: str, batch: dict[str, Any]) -> str:
    """One line of the table."""
    own, cell = batch["speeds"][name], batch["speeds"][CELL]
    networks = subject["networks"]
    scored, before = networks[name], networks[CELL]
    told = [""] * 3
    if "f1" in scored:
        told = [f"{scored['exact_match']:.2f}", f"{scored['f1']:.2f}", f"{before['f1'] - scored['f1']:+.2f}"]
    cells = [
        subject["name"],
        name,
        f"({batch['rows']}, {batch['length']})",
        shown(spread(own)),
        shown(spread([a / b for a, b in zip(own, cell, strict=True)])),
        *told,
        f"{scored['mb']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def table(document: dict[str, Any]) -> str:
    """The comparison as Markdown."""
    subjects = document["subjects"]
    lines = "\n".join(line(s, name, batch) for s in subjects for batch in s["batches"] for name in s["networks"])
    versions = "\n".join(f"{name}: {text}." for name, text in subjects[0]["batches"][0]["versions"].items())
    return (
        f"# {TITLE}\n\n{NOTES}\n\n{HEAD}{RULE}\n{lines}\n\n{document['date']}; {document['machine']}; "
        f"{document['threads']} threads; {document['rounds']} turns of {document['steps']} steps; scored on "
        f"{document['evaluation']}.\n{versions}\n"
    )


def measured(name: str, source: Path, folder: Path, options: argparse.Namespace, *, is_scored: bool) -> dict[str, Any]:
    """Everything of one network and its exports."""
    folder.mkdir()
    networks = exported(source, folder, options.threads)
    found = {one: {"mb": _mb(path)} for one, path in networks.items()}
    if is_scored:
        for one, path in networks.items():
            found[one] |= scores(one, path, folder, options)
    batches = []
    for text in options.batches:
        rows, length = map(int, text.split("x"))
        batches.append({"rows": rows, "length": length, **speeds(networks, rows, length, options)})
    return {"name": name, "networks": found, "batches": batches}


def main() -> None:
    """Parse the command line, export, score, measure, and keep the table."""
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("source", type=Path, help="folder of a trained network that answers questions")
    parser.add_argument("--name", default="MiniLM", help="what the table calls it (default MiniLM)")
    parser.add_argument("--shapes", nargs="*", default=[], choices=list(MODELS), help="random networks to time")
    parser.add_argument("--evaluation", default="sample", help="SQuAD file to score on (default the packaged sample)")
    parser.add_argument("--config", default="squad_sample", help="configuration to score by (default squad_sample)")
    parser.add_argument("--max-length", type=int, default=256, help="longest window in tokens (default 256)")
    parser.add_argument("--batches", nargs="*", default=["8x128", "8x256"], metavar="RxT", help="rows x tokens")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each network (default 7)")
    parser.add_argument("--steps", type=int, default=3, help="steps of a turn, whose median counts (default 3)")
    parser.add_argument("--warmup", type=int, default=3, help="steps before anything counts (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--output", type=Path, default=HERE / "results", help="folder of the table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bert_ms-") as scratch:
        folder = Path(scratch)
        subjects = [measured(options.name, options.source, folder / "source", options, is_scored=True)]
        for shape in options.shapes:
            network = random_network(folder / f"{shape}_weights", "question-answering", **MODELS[shape])
            subjects.append(measured(shape, network, folder / shape, options, is_scored=False))
    document = {
        "title": TITLE,
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "steps": options.steps,
        "evaluation": Path(options.evaluation).name,
        "subjects": subjects,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / "exported"
    stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(table(document), encoding="utf-8")
    print(table(document))


def _dtype(name: str) -> list[str]:
    """What a side is told beyond its source, rows and threads."""
    return [DTYPES[name]] if name in DTYPES else []


def _mb(path: Path) -> float:
    """Size of the weights, or of the graph."""
    files = [*path.glob("*.ckpt"), *path.glob("*.safetensors"), *path.glob("model.onnx*")]
    return max(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    main()
