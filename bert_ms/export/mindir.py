"""Networks as MINDIR and AIR: MindSpore's own graph files, one for each shape, with the plain operators alone."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import compat
from bert_ms.errors import CheckpointError, DeviceError
from bert_ms.export.buckets import Bucket, run_in_buckets
from bert_ms.export.folder import FILE_NAME, ExportRecord

logger = logging.getLogger(__name__)

CHOICE_TASK = "multiple-choice"  # its network takes [B, C, S]; a graph has one choice a row, as each is read alone
# What MindSpore takes for a file name.
_SAFE = re.compile(r"[0-9a-zA-Z@_\-.:/]+")


def check_device(format: str) -> None:
    """Refuse a format that this machine cannot write, before anything long is done.

    Raises:
        DeviceError: AIR was asked for, and there is no Ascend.
    """
    if format == "air" and "ascend" not in compat.available_devices():
        raise DeviceError(
            f"AIR is written by an Ascend only, and MindSpore {compat.mindspore().__version__} finds "
            f"{', '.join(compat.available_devices())} here: export on a machine that has one, or write mindir or onnx."
        )


def write_graphs(network: Any, folder: Path, *, format: str, task: str, buckets: Sequence[Bucket]) -> None:
    """Write a graph file for each bucket; each has all of the weights in it.

    Args:
        network: a Cell in evaluation mode that was built inside `kernels.disabled()`: native operators are libraries of
            this machine, and no part of a file that is to run elsewhere.
        folder: to write into.
        format: mindir or air.
        task: of the network.
        buckets: (rows, tokens) of each graph.

    Raises:
        CheckpointError: MindSpore cannot write the graph.
        DeviceError: see `check_device`.
    """
    check_device(format)
    ms = compat.mindspore()
    with _safe_path(folder) as place:
        for rows, tokens in buckets:
            shape = (rows, 1, tokens) if task == CHOICE_TASK else (rows, tokens)
            ids, mask, types = np.zeros(shape, np.int32), np.ones(shape, np.int32), np.zeros(shape, np.int32)
            try:
                ms.export(
                    network,
                    *(ms.Tensor(array) for array in (ids, mask, types)),
                    file_name=str(place / file_name((rows, tokens), format)),
                    file_format=format.upper(),
                )
            except (RuntimeError, ValueError, TypeError) as error:
                raise CheckpointError(f"MindSpore cannot write this network as {format}: {error}") from error
            logger.info("wrote the graph of %d x %d", rows, tokens)


def file_name(bucket: Bucket, format: str) -> str:
    """The name of a bucket's graph file.

    >>> file_name((8, 384), "mindir")
    'model_8x384.mindir'
    """
    return f"model_{bucket[0]}x{bucket[1]}.{format}"


class MindirGraphs:
    """The graphs of an exported folder, each loaded when it is first needed. Not safe to call from several threads.

    Args:
        folder: the exported folder.
        record: of it, of format mindir.
    """

    def __init__(self, folder: Path, record: ExportRecord):
        self.folder, self.record = folder, record
        self._is_row = [name in record.row_outputs for name in record.outputs]
        self._graphs: dict[Bucket, Any] = {}

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs, float32, of int32 input_ids, attention_mask, token_type_ids [B, S]; or [B, C, S] of choices.

        Raises:
            CheckpointError: a row is longer than every bucket.
        """
        if arrays[0].ndim == 2:
            return run_in_buckets(self.record.buckets, self._run, arrays, is_row=self._is_row)
        shape = arrays[0].shape
        flat = [array.reshape(-1, shape[-1]) for array in arrays]
        outputs = run_in_buckets(self.record.buckets, self._run, flat, is_row=self._is_row)
        return tuple(output.reshape(shape[:-1]) for output in outputs)

    def run_whole(self, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """As `run`, of a batch that has the shape of a bucket; padding goes through the graph as it is."""
        if arrays[0].ndim == 2 and arrays[0].shape in self.record.buckets:
            return self._run(arrays[0].shape, arrays)  # type: ignore[arg-type]
        return self.run(arrays)

    def _run(self, bucket: Bucket, arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        from bert_ms.model.running import run_cell

        if bucket not in self._graphs:
            self._graphs[bucket] = self._load(bucket)
        if self.record.task == CHOICE_TASK:
            arrays = [array[:, None] for array in arrays]
        return run_cell(self._graphs[bucket], arrays)

    def _load(self, bucket: Bucket) -> Any:
        ms = compat.mindspore()
        path = self.folder / file_name(bucket, "mindir")
        if not path.is_file():  # large networks: the graph here, the weights in a folder beside it
            path = path.with_name(f"{path.stem}_graph.mindir")
        if path.name not in self.record.files:
            raise CheckpointError(f"{self.folder}: {FILE_NAME} names no {path.name}, which has a bucket: export again.")
        try:
            with _safe_path(self.folder) as place:
                return ms.nn.GraphCell(ms.load(str(place / path.name)))
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be read by MindSpore: {error}") from error


@contextmanager
def _safe_path(folder: Path) -> Iterator[Path]:
    """The folder by a name that MindSpore takes, which knows neither blanks nor letters beyond ASCII."""
    whole = folder.resolve()
    if _SAFE.fullmatch(whole.as_posix()) or os.name != "posix":
        yield whole
        return
    with tempfile.TemporaryDirectory(prefix="bert_ms-") as scratch:
        link = Path(scratch) / "folder"
        link.symlink_to(whole, target_is_directory=True)
        yield link
