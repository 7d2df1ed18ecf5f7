"""The text of ChnSentiCorp and CLUENER, for pretraining a small Chinese BERT.

    python benchmarks/chinese_text.py --data DIR --out DIR

writes OUT/train.txt, a review or sentence a line, from chnsenticorp_train.tsv and cluener_train.json in DIR, and
OUT/dev.txt from chnsenticorp_dev.tsv. Only text is taken, no labels. Nothing of the data is part of this repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train = [*reviews(options.data / "chnsenticorp_train.tsv"), *sentences(options.data / "cluener_train.json")]
    write(options.out / "train.txt", train)
    write(options.out / "dev.txt", reviews(options.data / "chnsenticorp_dev.tsv"))


def reviews(file: Path) -> list[str]:
    """The second column, without its header."""
    return [line.split("\t", 1)[1] for line in file.read_text(encoding="utf-8").splitlines()[1:] if "\t" in line]


def sentences(file: Path) -> list[str]:
    """The texts of a file with a JSON object a line."""
    return [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def write(file: Path, texts: Iterable[str]) -> None:
    """One text a line."""
    lines = [" ".join(text.split()) for text in texts]
    file.write_text("\n".join(line for line in lines if line) + "\n", encoding="utf-8")
    print(f"{file}: {len(lines):,} texts, {sum(map(len, lines)):,} characters")


if __name__ == "__main__":
    main()
