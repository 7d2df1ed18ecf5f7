"""An exported folder opened: its configuration, its tokenizer, what decoding needs, and a backend that runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import tasks
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError, DeviceError, unknown
from bert_ms.export.folder import CONFIG, TRANSITIONS, ExportRecord, is_exported, read_record
from bert_ms.pipelines.backends import MindirBackend, OnnxBackend

CELL = "cell"
BACKENDS = ("auto", CELL, "onnx", "mindir")


@dataclass(frozen=True)
class Exported:
    """An exported network that can be run.

    Attributes:
        path: of the folder.
        record: of it.
        config: of the network.
        weights: the task's `decoding_weights`, float32 by name.
    """

    path: Path
    record: ExportRecord
    config: BertConfig
    weights: Mapping[str, np.ndarray]

    def backend(self, *, device: str = "auto", threads: int | None = None) -> Any:
        """What runs it; see `OnnxBackend` and `MindirBackend`.

        Raises:
            CheckpointError: its files cannot be used.
            DeviceError: the device is not there, or the format is one that only other programs run.
        """
        if self.record.format == "air":
            raise DeviceError(
                f"{self.path} is AIR, which Ascend's own programs run (after its compiler ATC), and this one does not: "
                f"export the network as mindir or onnx."
            )
        backend = OnnxBackend if self.record.format == "onnx" else MindirBackend
        return backend(self.path, record=self.record, device=device, threads=threads)


def open_exported(
    path: str | os.PathLike[str], *, backend: str = "auto", config: Any = None, dtype: str | None = None
) -> Exported:
    """Read all of an exported folder but its graphs.

    Args:
        path: of the folder.
        backend: what the caller asks to run it with: auto, cell, onnx or mindir.
        config: what the caller says of the network; has to be nothing.
        dtype: what the caller asks it to compute in; has to be nothing, or what it was exported with.

    Raises:
        CheckpointError: the folder cannot be used.
        ConfigError: the caller asks for something that was settled when it was exported.
    """
    folder = Path(path).expanduser()
    record = read_record(folder)
    problems = []
    if backend not in ("auto", record.format):
        problems.append(
            f"backend is {backend}, and {folder} is exported as {record.format}: leave the backend out, or name a "
            f"{'checkpoint' if backend == 'cell' else f'folder exported as {backend}'}."
        )
    if config is not None:
        problems.append(f"config= is given, and {folder} is an exported network, which has its own: leave it out.")
    if dtype not in (None, record.precision):
        problems.append(f"dtype is {dtype}, and {folder} was exported in {record.precision}: leave it out.")
    if problems:
        raise ConfigError(problems)
    settled = BertConfig.from_file(folder / CONFIG)
    return Exported(folder, record, settled, _weights(folder, record, settled))


def find_exported(
    path: Path | None,
    *,
    shown: str | os.PathLike[str],
    backend: str,
    config: Any = None,
    dtype: str | None = None,
) -> Exported | None:
    """The exported network of a source; None where it is weights, which are to run as a Cell.

    Args:
        path: of the source; None for one that is no file at all.
        shown: the source as errors call it.
        backend: what is to run it: cell, onnx or mindir; "auto" takes whichever the source is for.
        config: as of `open_exported`, as is what follows.
        dtype: numbers to compute in.

    Raises:
        CheckpointError: the folder cannot be used.
        ConfigError: the backend is unknown, the source is of another kind than it, or see `open_exported`.
    """
    if backend not in BACKENDS:
        raise ConfigError(unknown("backend", backend, BACKENDS))
    if path is not None and is_exported(path):
        return open_exported(path, backend=backend, config=config, dtype=dtype)
    if backend not in ("auto", CELL):
        raise ConfigError(
            f"backend is {backend}, and {shown} is no exported folder: make one by "
            f"`bert-ms export {shown} DIR --format {backend}` and name it."
        )
    return None


def _weights(folder: Path, record: ExportRecord, config: BertConfig) -> dict[str, np.ndarray]:
    """What decoding needs beside the outputs."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (record.task == "token-classification" and config.has_crf):
        return {}
    if TRANSITIONS not in record.files:
        raise CheckpointError(f"{folder}: the network has a CRF, and there is no {TRANSITIONS}: export it again.")
    try:
        found = load_file(folder / TRANSITIONS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / TRANSITIONS} cannot be read: {error}.") from None
    names, size = tasks.get(record.task).decoding_weights, config.classifier_size
    if set(found) != set(names) or any(found[name].shape != (size, size) for name in names):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in found.items())
        raise CheckpointError(
            f"{folder / TRANSITIONS} holds {shapes or 'nothing'}: expected {names[0]} {(size, size)}."
        )
    return {name: np.asarray(array, np.float32) for name, array in found.items()}
