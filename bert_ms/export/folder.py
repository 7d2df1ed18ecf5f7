"""The exported folder: its record `export.json`, strictly read, and the way a folder appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bert_ms import tasks
from bert_ms.checkpoint.manifest import sha256
from bert_ms.checkpoint.source import EXPORTED
from bert_ms.config.typed import Mismatch, shown, typed
from bert_ms.errors import CheckpointError, unknown

FILE_NAME = EXPORTED
CONFIG = "config.json"
TRANSITIONS = "transitions.safetensors"  # of a CRF, which decoding needs beside the outputs
FORMAT_VERSION = 1
MAX_BYTES = 4 << 20

Format = Literal["onnx", "mindir", "air"]
Precision = Literal["float32", "float16", "int8-dynamic", "int8-static"]
FORMATS: tuple[str, ...] = get_args(Format)
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of the folder: its hexadecimal digest and its size."""

    sha256: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How an exported network compared with the Cell that it was made from.

    Attributes:
        inputs: rows that went through both.
        shapes: (B, S) of the batches that they came in.
        max_abs_difference: the largest absolute difference of any number of any output.
        tolerance: that it had to stay below.
        passed: it did.
    """

    inputs: int
    shapes: tuple[tuple[int, int], ...] = ()
    max_abs_difference: float
    tolerance: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class ExportRecord:
    """What `export.json` says of an exported folder.

    Attributes:
        format: onnx, mindir or air.
        task: a task name.
        precision: of the weights and products in the file.
        inputs: names of what the network takes, in order.
        outputs: names of what it returns, in order.
        row_outputs: those of them that are one a row [B, ...]; the others are one a token [B, S, ...].
        files: every other file of the folder by its name, or by `folder/name` where it lies in one below.
        buckets: (B, S) that there is a graph for, where shapes are fixed; empty where any batch and length will do.
        source: `name` as the caller gave it, and `sha256` of its weights file.
        verification: how it compared with the Cell; of an INT8 file, how the float32 file did that it was made of,
            while `quantization.json` beside it says what rounding cost. None of AIR, which only other programs run.
        versions: of the packages that made it.
        created: date and time, ISO 8601.
        format_version: of this layout.
    """

    format: Format
    task: str
    precision: Precision = "float32"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...] = ()
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    buckets: tuple[tuple[int, int], ...] = ()
    source: Mapping[str, str]
    verification: Verification | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str
    format_version: int = FORMAT_VERSION

    @property
    def size(self) -> int:
        """Bytes of all files that it names."""
        return sum(file.bytes for file in self.files.values())

    def write(self, folder: Path) -> Path:
        """Write it as JSON into a folder; returns the file."""
        path = folder / FILE_NAME
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def verify(self, folder: Path) -> None:
        """Compare every file with its digest.

        Raises:
            CheckpointError: one has another content than was exported.
        """
        for name, stored in self.files.items():
            if sha256(folder / name) != stored.sha256:
                raise CheckpointError(
                    f"{folder / name} is not what was exported: its sha256 differs from the one in {FILE_NAME}. "
                    f"Copy it again, or export again."
                )


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an exported folder, or meant to be one: a directory with an `export.json`."""
    return (Path(path).expanduser() / FILE_NAME).is_file()


def read_record(path: str | os.PathLike[str], *, verify: bool = True) -> ExportRecord:
    """The record of an exported folder, with its files checked.

    Args:
        path: of the folder.
        verify: also compare the content of every file with its digest, not only its size.

    Raises:
        CheckpointError: it is no exported folder; the record has an unknown key, lacks one, or holds a value of another
            kind; a file is missing, of another size, of another content, or outside of the folder.
    """
    folder = Path(path).expanduser()
    if not is_exported(folder):
        raise CheckpointError(f"{folder} is no exported folder: it has no {FILE_NAME}. Make one by `bert-ms export`.")
    record = _parse(_read(folder / FILE_NAME), folder / FILE_NAME)
    for name, stored in record.files.items():
        _check_file(folder, name, stored)
    if verify:
        record.verify(folder)
    return record


def stored_files(folder: Path) -> dict[str, StoredFile]:
    """Digest and size of every file in a folder but the record itself, by name."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: StoredFile(sha256=sha256(path), bytes=path.stat().st_size)
        for name, path in found.items()
        if name != FILE_NAME
    }


@contextmanager
def staged_folder(destination: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """A scratch folder beside `destination` that takes its place when the block ends well.

    Args:
        destination: must not be there, be empty, or be an exported folder that may be replaced.
        overwrite: an exported folder there is replaced.

    Raises:
        CheckpointError: the place is taken, or cannot be written to; what was there is as it was.
    """
    target = Path(destination).expanduser()
    check_destination(target, overwrite=overwrite)
    scratch: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        yield scratch
        _make_readable(scratch)
        _swap(scratch, target)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written: {error.strerror or error}. Nothing is left behind."
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def check_destination(destination: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Refuse a destination that `staged_folder` would refuse, before anything long is done.

    Raises:
        CheckpointError: it is a file, or a folder that may not be replaced.
    """
    target = Path(destination).expanduser()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise CheckpointError(f"{target} is no folder: name one that is not there yet.")
    if not target.exists() or not any(target.iterdir()):
        return
    if not is_exported(target):
        raise CheckpointError(
            f"{target} holds other files, which are left as they are: name a folder that is empty or not there yet."
        )
    if not overwrite:
        raise CheckpointError(
            f"{target} holds an exported network: name another folder, or overwrite it (--overwrite)."
        )


def _swap(scratch: Path, target: Path) -> None:
    """Rename `scratch` to `target`; what was there goes aside first and comes back if that fails."""
    if not target.exists():
        os.replace(scratch, target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    os.replace(target, aside / "old")
    try:
        os.replace(scratch, target)
    except OSError:
        os.replace(aside / "old", target)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make_readable(folder: Path) -> None:
    """The usual permissions instead of a temporary folder's and MindSpore's, with everything on the disk."""
    mask = os.umask(0)
    os.umask(mask)
    folder.chmod(0o777 & ~mask)
    for path in folder.rglob("*"):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes: expected at most {MAX_BYTES:,}.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(path, str(error)) from None
    if not isinstance(values, dict):
        raise _bad(path, f"it holds a {type(values).__name__}, not a mapping")
    return values


def _bad(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path} is no record of an exported network ({why.rstrip('.')}): export again.")


def _parse(values: Mapping[str, Any], path: Path) -> ExportRecord:
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise CheckpointError(f"{path} has layout {version}, newer than {FORMAT_VERSION}: upgrade bert_ms.")
    record: ExportRecord = _fields(ExportRecord, values, path)
    if CONFIG not in record.files:
        raise _bad(path, f"files has no {CONFIG}")
    if set(record.row_outputs) - set(record.outputs):
        raise _bad(path, "row_outputs names what is no output")
    if record.task not in tasks.TASKS:
        raise _bad(path, unknown("task", record.task, tasks.TASKS))
    if (record.format == "onnx") == bool(record.buckets):
        raise _bad(path, f"format is {record.format} and buckets is {shown(record.buckets)}")
    if any(batch < 1 or length < 1 for batch, length in record.buckets):
        raise _bad(path, f"buckets is {shown(record.buckets)}, with a number below 1")
    return record


def _fields(kind: Any, values: Any, path: Path, where: str = "") -> Any:
    """A dataclass of JSON values, each of the type that it declares.

    Raises:
        CheckpointError: a key is unknown or missing, or a value is of another type.
    """
    if not isinstance(values, dict):
        raise _bad(path, f"{where.rstrip('.')} is {shown(values)}, not a mapping")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise _bad(path, unknown("key", f"{where}{name}", [f"{where}{each}" for each in hints]))
    absent = [name for name in hints if name not in values]
    if absent:
        raise _bad(path, f"it lacks {', '.join(f'{where}{name}' for name in absent)}")
    return kind(**{name: _value(values[name], hint, path, f"{where}{name}") for name, hint in hints.items()})


def _value(value: Any, hint: Any, path: Path, where: str) -> Any:
    inner = next((part for part in get_args(hint) if is_dataclass(part)), None)
    if inner is None or (value is None and type(None) in get_args(hint)):
        try:
            return typed(value, hint)
        except Mismatch as error:
            raise _bad(path, f"{where} {error}") from None
    if get_origin(hint) is not Mapping:
        return _fields(inner, value, path, f"{where}.")
    if not isinstance(value, dict):
        raise _bad(path, f"{where} is {shown(value)}: expected a mapping.")
    return {name: _fields(inner, one, path, f"{where}.{name}.") for name, one in value.items()}


def _check_file(folder: Path, name: str, stored: StoredFile) -> None:
    parts = name.split("/")
    if len(parts) > 2 or not all(map(_is_plain, parts)) or name == FILE_NAME:
        raise CheckpointError(f"{folder}: '{name}' is not the name of a file in this folder; it is not followed.")
    file = folder / name
    if not file.is_file():
        raise CheckpointError(f"{folder}: {FILE_NAME} names {name}, which is not there: copy the whole folder.")
    if file.resolve() != folder.resolve() / name:
        raise CheckpointError(f"{file} links out of its folder, to {file.resolve()}; it is not followed.")
    if file.stat().st_size != stored.bytes:
        raise CheckpointError(
            f"{file} has {file.stat().st_size:,} bytes, and {stored.bytes:,} by {FILE_NAME}: copy it again."
        )


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and not {"\\", "\0", ":"} & set(part)
