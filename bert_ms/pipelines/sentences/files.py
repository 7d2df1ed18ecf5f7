"""A file of texts to a file of vectors, piece by piece: what is done survives an interruption."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np

from bert_ms import compat
from bert_ms.errors import ConfigError, DataError, TooLongError, unknown
from bert_ms.files import write_file
from bert_ms.pipelines.sentences.formats import WRITERS

Format = Literal["npy", "jsonl", "parquet"]
FORMATS = tuple(WRITERS)
CHUNK = 2048  # texts of a piece
MAX_LINE = 10_000_000
_MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """What came of a file.

    Attributes:
        path: the file of vectors.
        count: texts encoded.
        width: numbers of a vector.
        resumed: how many of them an interrupted call had done.
    """

    path: Path
    count: int
    width: int
    resumed: int


def encode_file(
    encoder: Any,
    source: Path,
    output: Path,
    *,
    format: Format | None = None,
    column: str | None = None,
    settings: str = "",
    called: str | None = None,
    watch: Callable[[int], None] | None = None,
) -> Encoded:
    """Encode every text of a file, in its order.

    Vectors are kept beside the output, in `<output>.parts`, until all are there; the same call goes on from them if
    file and settings are still the same. The output appears complete or not at all.

    Args:
        encoder: with `stream` and `width`, see `SentenceEncoder`.
        source: a file with one text a line, or with one JSON object a line where `column` is given.
        output: the file to write.
        format: "npy", float32 [N, H]; "jsonl", {"text", "vector"} a line; "parquet", columns text and vector (needs
            pyarrow); None takes the ending of the output.
        column: key of the text in JSON objects.
        settings: of the encoder, in any form: pieces made with others are not gone on with.
        called: what messages call the source; its path, if not given.
        watch: called with the number of texts done, after each piece.

    Raises:
        ConfigError: the format is unknown.
        DataError: the file or a line of it cannot be read or is too long, or the output cannot be written.
        DependencyError: parquet is asked for, and pyarrow is not installed.
    """
    format = _format(format, output)
    if format == "parquet":
        compat.require("pyarrow.parquet", purpose="write parquet files")
    called = called or str(source)
    if not source.is_file():
        raise DataError(f"{called} does not exist or is no file: name one with a text a line.")
    _check_place(output, source)
    try:
        digest = _digest(source)
    except OSError as error:
        raise DataError(f"{called} cannot be read: {error.strerror or error}.") from error
    with _alone(output):
        parts = output.with_name(f"{output.name}.parts")
        try:
            done = _begin(parts, {"file": digest, "column": column, "settings": settings, "chunk": CHUNK})
            count = resumed = sum(len(np.load(part, mmap_mode="r")) for part in _parts(parts)[:done])
            for number, texts in enumerate(_pieces(read_texts(source, column, called))):
                if number < done:
                    continue
                try:
                    vectors = np.concatenate(list(encoder.stream(texts)))
                except TooLongError as error:
                    where = f"{called}, line {number * CHUNK + (error.index or 0) + 1}"
                    raise DataError(f"{where}: {error.counted}. {error.advice}") from None
                _keep(parts / f"{number:07d}.npy", vectors)
                count += len(texts)
                if watch is not None:
                    watch(count)
            if not count:
                raise DataError(f"{called} holds no text.")
            WRITERS[format](output, _parts(parts), lambda: read_texts(source, column), encoder.width)
        except DataError:
            if not _parts(parts):  # nothing to go on from
                shutil.rmtree(parts, ignore_errors=True)
            raise
        except OSError as error:
            again = "see to that and give the same call again: it goes on from what is done"
            raise DataError(f"{output} cannot be written ({error.strerror or error}): {again}.") from error
        shutil.rmtree(parts)
        return Encoded(path=output, count=count, width=encoder.width, resumed=resumed)


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Let no second call write the same file meanwhile.

    Raises:
        DataError: one does so already, or the folder cannot be written to.
    """
    path = output.with_name(f".{output.name}.lock")
    lock = filelock.FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise DataError(f"another process is writing {output}: wait for it, or name another file.") from None
    except OSError as error:
        raise DataError(f"{output} cannot be written ({error.strerror or error}): name another file.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _check_place(output: Path, source: Path) -> None:
    """Refuse before anything is computed what would be in the way when all is."""
    if output.is_dir():
        raise DataError(f"{output} is a folder: name a file in it.")
    if output.exists() and output.samefile(source):
        raise DataError(f"{output} holds the texts that are to be encoded: name another file for their vectors.")


def read_texts(source: Path, column: str | None = None, called: str | None = None) -> Iterator[str]:
    """The texts of a file, one at a time; blank lines are texts, too, so that row i is line i + 1.

    Args:
        source: the file.
        column: key of the text, where lines are JSON objects.
        called: what messages call the file; its path, if not given.

    Raises:
        DataError: a line that is too long, not UTF-8, or no JSON object with the column.
    """
    called = called or str(source)
    with source.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise DataError(f"{called}, line {number} is longer than {MAX_LINE:,} bytes: expected one text a line.")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                where = f"{called}, line {number}"
                raise DataError(f"{where} is not UTF-8 at byte {error.start}: save it as UTF-8.") from None
            yield text if column is None else _value(text, column, f"{called}, line {number}")


def _value(line: str, column: str, where: str) -> str:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is no JSON: {error}.") from None
    if not isinstance(found, dict) or not isinstance(found.get(column), str):
        has = unknown("key", column, found) if isinstance(found, dict) else type(found).__name__
        raise DataError(f"{where} has no text under '{column}' ({has})")
    text: str = found[column]
    return text


def _pieces(texts: Iterator[str]) -> Iterator[list[str]]:
    while held := list(islice(texts, CHUNK)):
        yield held


def _format(format: str | None, output: Path) -> Format:
    name = format or output.suffix.removeprefix(".")
    if name not in FORMATS:
        raise ConfigError(f"{output}: {unknown('format of vectors', name, FORMATS)} End the name in one of them.")
    return name  # type: ignore[return-value]


def _begin(parts: Path, key: dict[str, Any]) -> int:
    """Pieces that are done already; others than of this key are thrown away."""
    manifest = parts / _MANIFEST
    try:
        is_same = json.loads(manifest.read_text(encoding="utf-8")) == key
    except (OSError, ValueError):
        is_same = False
    if not is_same:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        write_file(manifest, json.dumps(key), error=DataError)
    return len(_parts(parts))


def _parts(parts: Path) -> list[Path]:
    """Finished pieces, in order, up to the first that is missing."""
    found = sorted(parts.glob("[0-9]*.npy"))
    return [path for number, path in enumerate(found) if path.name == f"{number:07d}.npy"]


def _keep(path: Path, vectors: np.ndarray) -> None:
    scratch = path.with_suffix(".tmp")
    with scratch.open("wb") as file:
        np.save(file, vectors.astype(np.float32), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(scratch, path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
