"""The data sets of the task comparison, each with the settings that both sides train by.

    python benchmarks/real_data.py --data DIR --out DIR

writes OUT/<task>/train.* and dev.* in the data set's own format, from files that stand in DIR as TASKS says
(`glue/MRPC/dev.tsv`, `ner/wnut17train.conll`). Where a data set has no file to evaluate on, rows of its training file
are held out by a fixed permutation. Nothing of the data is part of this repository.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

SPLIT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a table's columns stand, counted from 0."""

    text: int
    pair: int | None = None
    label: int
    header: bool = True


@dataclass(frozen=True, kw_only=True)
class RealTask:
    """One data set and the settings of its fine-tuning, the same on both sides.

    Attributes:
        title: as people call it.
        config: name of our configuration.
        train_file: below the data folder.
        dev_file: below the data folder; None holds rows out of the training file.
        kind: what the head predicts.
        labels: of a classification, in the order of their ids.
        columns: of a table; None for NER, whose words stand first and whose tags stand last in a line.
        held_out: rows to evaluate on, where there is no file for it.
        train_rows: so many rows are trained on; None takes all.
        max_length: tokens; chosen so that (next to) nothing is cut.
        metric: the score that is compared, in percent.
        seeds: of the comparison.
    """

    title: str
    config: str
    train_file: str
    dev_file: str | None = None
    kind: Literal["classification", "regression", "tokens"] = "classification"
    labels: tuple[str, ...] = ("0", "1")
    columns: Columns | None = None
    held_out: int = 0
    train_rows: int | None = None
    max_length: int = 128
    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 1e-4
    metric: str = "accuracy"
    seeds: tuple[int, ...] = (42,)

    @property
    def suffix(self) -> str:
        """Of the files that are written: .conll for NER, else .tsv."""
        return ".conll" if self.kind == "tokens" else ".tsv"


TASKS = {
    "mrpc": RealTask(
        title="MRPC",
        config="glue_mrpc",
        train_file="glue/MRPC/train.regenerated_3668.tsv",
        dev_file="glue/MRPC/dev.tsv",
        columns=Columns(text=3, pair=4, label=0),
        metric="f1",
        seeds=(42, 43, 44),
    ),
    "wnut17": RealTask(
        title="WNUT-17",
        config="ner_wnut17",
        train_file="ner/wnut17train.conll",
        dev_file="ner/wnut17_emerging.dev.conll",
        kind="tokens",
        learning_rate=2e-4,
        metric="f1",
        seeds=(42, 43, 44),
    ),
    "sst2": RealTask(
        title="SST-2",
        config="glue_sst2",
        train_file="glue/SST-2/train.tsv",
        columns=Columns(text=0, label=1),
        held_out=2000,
        train_rows=8000,
        epochs=1,
        batch_size=32,
    ),
    "rte": RealTask(
        title="RTE",
        config="glue_rte",
        train_file="glue/RTE/train.tsv",
        labels=("entailment", "not_entailment"),
        columns=Columns(text=1, pair=2, label=3),
        held_out=400,
        max_length=320,
    ),
    "cola": RealTask(
        title="CoLA",
        config="glue_cola",
        train_file="glue/CoLA/train.tsv",
        columns=Columns(text=3, label=1, header=False),
        held_out=1000,
        epochs=2,
        metric="matthews",
    ),
    "stsb": RealTask(
        title="STS-B",
        config="glue_stsb",
        train_file="glue/STS-B/train.tsv",
        kind="regression",
        columns=Columns(text=7, pair=8, label=9),
        held_out=800,
        epochs=2,
        metric="pearson",
    ),
    "bc5cdr": RealTask(
        title="BC5CDR",
        config="ner_bc5cdr",
        train_file="ner/bc5cdr_train.txt",
        dev_file="ner/bc5cdr_dev.txt",
        kind="tokens",
        max_length=256,
        epochs=2,
        learning_rate=2e-4,
        metric="f1",
    ),
}


def files(name: str, folder: Path) -> tuple[Path, Path]:
    """Where `materialise` puts the training and the evaluation file of a task."""
    suffix = TASKS[name].suffix
    return folder / name / f"train{suffix}", folder / name / f"dev{suffix}"


def materialise(name: str, data: Path, out: Path) -> tuple[Path, Path]:
    """Write the training and the evaluation file of a task; the same bytes whenever the data is the same.

    Args:
        name: of TASKS.
        data: folder that `train_file` and `dev_file` are relative to.
        out: folder to write to, outside the repository.

    Raises:
        SystemExit: a file is missing, or too short for the split.
    """
    task = TASKS[name]
    missing = [file for file in (task.train_file, task.dev_file) if file and not (data / file).is_file()]
    if missing:
        raise SystemExit(f"{name}: {', '.join(missing)} not found in {data}: give the folder that holds it as --data.")
    train, dev = files(name, out)
    train.parent.mkdir(parents=True, exist_ok=True)
    content = (data / task.train_file).read_bytes()
    if task.dev_file is not None:
        _write(train, content)
        _write(dev, (data / task.dev_file).read_bytes())
        return train, dev
    lines = [line + b"\n" for line in content.rstrip(b"\n").split(b"\n")]
    begin = int(task.columns is not None and task.columns.header)
    chosen, held_out = split(len(lines) - begin, held_out=task.held_out, train_rows=task.train_rows)
    for path, rows in ((train, chosen), (dev, held_out)):
        _write(path, b"".join(lines[:begin]) + b"".join(lines[begin + row] for row in rows))
    return train, dev


def _write(path: Path, content: bytes) -> None:
    """Write a file unless it is there already: a run may be reading it."""
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def split(rows: int, *, held_out: int, train_rows: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train and to evaluate on: the last `held_out` of a fixed permutation are evaluated on.

    Files are ordered by source, so neither their head nor their tail alone would do.

    Raises:
        SystemExit: there are fewer rows than are asked for.
    """
    if rows < held_out + (train_rows or 1):
        raise SystemExit(f"{rows:,} rows: expected at least {held_out + (train_rows or 1):,}. Is the file complete?")
    order = np.random.default_rng(SPLIT_SEED).permutation(rows)
    return order[: rows - held_out][:train_rows], order[rows - held_out :]


def read_table(task: RealTask, path: Path) -> list[tuple[str, str | None, str]]:
    """Text, second text and label of each row of a classification or regression file."""
    assert task.columns is not None
    at = task.columns
    lines = path.read_text(encoding="utf-8-sig").split("\n")[int(at.header) :]
    cells = [line.rstrip("\r").split("\t") for line in lines if line]
    return [(row[at.text], None if at.pair is None else row[at.pair], row[at.label]) for row in cells]


def read_sentences(path: Path) -> list[tuple[list[str], list[str]]]:
    """Words and tags of each sentence of a file in CoNLL columns."""
    sentences: list[tuple[list[str], list[str]]] = [([], [])]
    for line in path.read_text(encoding="utf-8-sig").split("\n"):
        if not line.strip() or line.startswith("-DOCSTART-"):
            sentences.append(([], []))
        else:
            cells = line.split("\t")
            sentences[-1][0].append(cells[0])
            sentences[-1][1].append(cells[-1])
    return [sentence for sentence in sentences if sentence[0]]


def main() -> None:
    """Write the files of all tasks, or of those that are named, and print rows and sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with glue/ and ner/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    options = parser.parse_args()
    for name in options.tasks:
        for path in materialise(name, options.data, options.out):
            task = TASKS[name]
            rows = len(read_sentences(path) if task.kind == "tokens" else read_table(task, path))
            print(f"{path}  {rows:,} rows  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}")


if __name__ == "__main__":
    main()
