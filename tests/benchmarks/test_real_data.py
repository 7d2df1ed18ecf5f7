"""The splits of the task comparison: nothing lost, nothing twice, the same on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import real_data
from benchmarks.real_data import TASKS
from tests.support import shared_data


def cola(folder: Path, rows: int = 1200) -> Path:
    """A file in CoLA's columns, without a line break at its end; returns the data folder."""
    file = folder / TASKS["cola"].train_file
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(f"src{row}\t{row % 2}\t\tSentence {row} ." for row in range(rows)))
    return folder


def test_every_row_is_in_exactly_one_file_of_the_split(tmp_path: Path) -> None:
    data = cola(tmp_path / "data")
    train, dev = real_data.materialise("cola", data, tmp_path / "out")
    source = (data / TASKS["cola"].train_file).read_text().splitlines()
    parts = [path.read_text().splitlines() for path in (train, dev)]
    assert [len(part) for part in parts] == [200, 1000]
    assert sorted(parts[0] + parts[1]) == sorted(source)


def test_a_split_is_the_same_each_time(tmp_path: Path) -> None:
    data = cola(tmp_path / "data")
    first, second = (real_data.materialise("cola", data, tmp_path / out) for out in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_held_out_rows_come_from_the_whole_file() -> None:
    train, dev = real_data.split(10_000, held_out=2000, train_rows=None)
    assert sorted([*train, *dev]) == list(range(10_000))
    assert np.histogram(dev, bins=4, range=(0, 10_000))[0].min() > 400


def test_fewer_training_rows_leave_the_held_out_ones_alone() -> None:
    _, every = real_data.split(100, held_out=20, train_rows=None)
    train, dev = real_data.split(100, held_out=20, train_rows=30)
    assert len(train) == 30
    assert list(dev) == list(every)
    assert not set(train) & set(dev)


def test_the_header_stands_in_both_files(tmp_path: Path) -> None:
    file = tmp_path / TASKS["rte"].train_file
    file.parent.mkdir(parents=True)
    header = "index\tsentence1\tsentence2\tlabel\n"
    file.write_text(header + "".join(f"{row}\ta\tb\tentailment\n" for row in range(401)))
    train, dev = real_data.materialise("rte", tmp_path, tmp_path / "out")
    assert train.read_text().startswith(header)
    assert dev.read_text().startswith(header)
    assert len(real_data.read_table(TASKS["rte"], train)) == 1


def test_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"900 rows: expected at least 1,001\. Is the file complete\?"):
        real_data.materialise("cola", cola(tmp_path / "data", rows=900), tmp_path / "out")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"mrpc: glue/MRPC/train\.regenerated_3668\.tsv, glue/MRPC/dev\.tsv not found"):
        real_data.materialise("mrpc", tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "rows", "digests"),
    [
        ("rte", (2090, 400), ("5b78db838c9a7707", "ef808ec2c88738d8")),
        ("stsb", (4949, 800), ("a949ad7e9fbbf5b8", "465e41d932321470")),
        ("cola", (7551, 1000), ("bf4aea15f4d48a6d", "a4671cadd08f32b9")),
    ],
)
def test_the_real_files_are_split_as_for_the_recorded_scores(
    name: str, rows: tuple[int, int], digests: tuple[str, str], tmp_path: Path
) -> None:
    data = shared_data(TASKS[name].train_file).parents[2]
    paths = real_data.materialise(name, data, tmp_path)
    assert tuple(len(real_data.read_table(TASKS[name], path)) for path in paths) == rows
    assert tuple(hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in paths) == digests


def test_tags_and_words_of_a_sentence_are_read_together() -> None:
    path = shared_data(TASKS["bc5cdr"].dev_file or "")
    sentences = real_data.read_sentences(path)
    assert len(sentences) == 3949
    assert sentences[0][0][:3] == ["Tricuspid", "valve", "regurgitation"]
    assert sentences[0][1][:4] == ["B-Entity", "I-Entity", "I-Entity", "O"]
