"""The text of ChnSentiCorp and CLUENER, for pretraining a small Chinese BERT, and the reviews to fine-tune it on.

    python benchmarks/chinese_text.py --data DIR --out DIR

From chnsenticorp_train.tsv and cluener_train.json in DIR come OUT/train.txt, a review or sentence a line, without
labels, and OUT/reviews.tsv, the labelled reviews; from chnsenticorp_dev.tsv comes OUT/dev.txt. Reviews that also stand
among those of chnsenticorp_dev.tsv (blanks aside) are left out of both, and a text that comes several times is taken
once. Nothing of the data is part of this repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

TRAIN, DEV, REVIEWS = "train.txt", "dev.txt", "reviews.tsv"
_HEADER = "label\ttext_a"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    make(options.data, options.out)


def make(data: Path, out: Path) -> None:
    """Write the files of the folder `out` from those of the folder `data`."""
    out.mkdir(parents=True, exist_ok=True)
    held_out = [text for _, text in reviews(data / "chnsenticorp_dev.tsv")]
    to_train = unseen(reviews(data / "chnsenticorp_train.tsv"), held_out)
    write(out / TRAIN, [*(text for _, text in to_train), *sentences(data / "cluener_train.json")])
    write(out / DEV, held_out)
    rows = [f"{label}\t{text}" for label, text in to_train]
    (out / REVIEWS).write_text("\n".join([_HEADER, *rows]) + "\n", encoding="utf-8")
    print(f"{out / REVIEWS}: {len(rows):,} rows")


def reviews(file: Path) -> list[tuple[str, str]]:
    """Label and text of each row after the header."""
    lines = file.read_text(encoding="utf-8").split("\n")[1:]
    return [(label, " ".join(text.split())) for label, tab, text in (line.partition("\t") for line in lines) if tab]


def sentences(file: Path) -> list[str]:
    """The texts of a file with a JSON object a line."""
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def unseen(rows: Iterable[tuple[str, str]], held_out: Iterable[str]) -> list[tuple[str, str]]:
    """Rows whose text is none of those held out and none of an earlier row's."""
    seen = set(map(bare, held_out))
    kept = []
    for label, text in rows:
        if bare(text) and bare(text) not in seen:
            kept.append((label, text))
            seen.add(bare(text))
    return kept


def bare(text: str) -> str:
    """What makes two texts the same: all but blanks."""
    return "".join(text.split())


def write(file: Path, texts: Iterable[str]) -> None:
    """Each text once, one a line."""
    lines = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    file.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")
    print(f"{file}: {len(lines):,} texts, {sum(map(len, lines)):,} characters")


if __name__ == "__main__":
    main()
