"""Forms of a file of vectors; each appears complete or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from bert_ms import compat


def _write_npy(output: Path, parts: Sequence[Path], texts: Callable[[], Iterator[str]], width: int) -> None:
    count = sum(len(np.load(part, mmap_mode="r")) for part in parts)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
    scratch = output.with_name(f".{output.name}.{os.getpid()}.part")
    with scratch.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.load(part).tobytes())
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, output)


def _write_jsonl(output: Path, parts: Sequence[Path], texts: Callable[[], Iterator[str]], width: int) -> None:
    scratch = output.with_name(f".{output.name}.{os.getpid()}.part")
    with scratch.open("w", encoding="utf-8") as file:
        for text, vector in zip(texts(), _rows(parts), strict=True):
            numbers = [float(str(value)) for value in vector]  # the shortest digits that float32 reads back
            file.write(json.dumps({"text": text, "vector": numbers}, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, output)


def _write_parquet(output: Path, parts: Sequence[Path], texts: Callable[[], Iterator[str]], width: int) -> None:
    pyarrow = compat.require("pyarrow", purpose="write parquet files")
    parquet = compat.require("pyarrow.parquet", purpose="write parquet files")
    schema = pyarrow.schema([("text", pyarrow.string()), ("vector", pyarrow.list_(pyarrow.float32(), width))])
    scratch = output.with_name(f".{output.name}.{os.getpid()}.part")
    words = texts()
    with parquet.ParquetWriter(scratch, schema) as writer:
        for part in parts:
            vectors = np.load(part)
            column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), width)
            some = pyarrow.array(list(islice(words, len(vectors))), pyarrow.string())
            writer.write_table(pyarrow.Table.from_arrays([some, column], schema=schema))
    os.replace(scratch, output)


def _rows(parts: Iterable[Path]) -> Iterator[np.ndarray]:
    for part in parts:
        yield from np.load(part)


Writer = Callable[[Path, Sequence[Path], Callable[[], Iterator[str]], int], None]
# By the ending of the file: called with the file to write, the files of its vectors in order, what gives their texts
# anew, and the numbers of a vector.
WRITERS: dict[str, Writer] = {
    "npy": _write_npy,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
