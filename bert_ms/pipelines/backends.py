"""What runs a network for a pipeline: one padded batch of arrays in, arrays out."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bert_ms.errors import CheckpointError
from bert_ms.export.folder import FILE_NAME, ExportRecord, read_record

# MindSpore compiles and runs for one thread at a time: two Cells in two threads hang each other.
_ONE_AT_A_TIME = threading.Lock()


class Backend(Protocol):
    """A network that is ready to run.

    Attributes:
        outputs: names of what it returns, in order.
        row_outputs: those that are one a row [B, ...]; the others are one a token [B, S, ...].
        takes_any_shape: no batch costs more because none had its shape before.
    """

    outputs: tuple[str, ...]
    row_outputs: tuple[str, ...]
    takes_any_shape: bool

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Outputs of one batch: int32 input_ids, attention_mask, token_type_ids [B, S], then what the network takes
        beyond them."""


class CellBackend:
    """A Cell in this process; safe to call from several threads, which then wait for each other.

    Args:
        network: in evaluation mode.
        outputs: names of what it returns, in order; names beyond what it returns are left out.
        row_outputs: those that are one a row.

    Attributes:
        takes_any_shape: the first batch compiles the graph of all; otherwise every new shape compiles one.
    """

    def __init__(self, network: Any, *, outputs: Sequence[str], row_outputs: Sequence[str] = ()):
        from bert_ms.model.any_shape import any_shape

        self.network, self.outputs, self.row_outputs = network, tuple(outputs), tuple(row_outputs)
        of_any_shape = any_shape(network)
        self.takes_any_shape = of_any_shape is not None
        self._cell = network if of_any_shape is None else of_any_shape

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`."""
        from bert_ms.model.running import run_cell

        with _ONE_AT_A_TIME:
            return run_cell(self._cell, arrays)


class OnnxBackend:
    """An exported ONNX network, run by ONNX Runtime without MindSpore; safe to call from several threads.

    Args:
        folder: the exported folder.
        record: of it; None reads it, with its files checked.
        device: auto, cpu, gpu or ascend, whichever ONNX Runtime was built for.
        threads: of one operator; None takes every core.

    Raises:
        CheckpointError: the folder or its file cannot be used.
        DependencyError: onnxruntime is not installed.
        DeviceError: the device is not there.
    """

    takes_any_shape = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        record: ExportRecord | None = None,
        device: str = "auto",
        threads: int | None = None,
    ):
        from bert_ms.export.onnx_graph.files import MODEL_FILE
        from bert_ms.export.onnx_session import OnnxSession

        self.record = _record(folder, record, "onnx", needed=MODEL_FILE)
        self.outputs, self.row_outputs = self.record.outputs, self.record.row_outputs
        path = Path(folder).expanduser() / MODEL_FILE
        self._session = OnnxSession(path, outputs=self.outputs, device=device, threads=threads)
        self.device = self._session.device

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`."""
        return self._session.run(arrays)


class MindirBackend:
    """An exported MINDIR network: graphs of a few shapes, into which batches are cut and padded.

    A batch goes into the bucket that computes the fewest tokens for it; threads wait for each other.

    Args:
        folder: the exported folder.
        record: of it; None reads it, with its files checked.
        device: auto, cpu, gpu or ascend; the process is set to graph mode on it.
        threads: CPU threads of one operator; None leaves MindSpore's choice.

    Raises:
        CheckpointError: the folder cannot be used.
        DeviceError: the device is not there.
    """

    takes_any_shape = False

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        record: ExportRecord | None = None,
        device: str = "auto",
        threads: int | None = None,
    ):
        from bert_ms import compat
        from bert_ms.export.mindir import MindirGraphs

        self.record = _record(folder, record, "mindir")
        self.outputs, self.row_outputs = self.record.outputs, self.record.row_outputs
        self.device = compat.use_device(device, graph_mode=True, threads=threads)
        self._graphs = MindirGraphs(Path(folder).expanduser(), self.record)

    @property
    def longest(self) -> int:
        """Tokens of the longest row that there is a bucket for."""
        return max(tokens for _, tokens in self.record.buckets)

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`.

        Raises:
            CheckpointError: a row is longer than every bucket.
        """
        with _ONE_AT_A_TIME:
            return self._graphs.run(arrays)


def _record(
    folder: str | os.PathLike[str], record: ExportRecord | None, format: str, *, needed: str | None = None
) -> ExportRecord:
    found = read_record(folder) if record is None else record
    if found.format != format:
        raise CheckpointError(f"{folder} is exported as {found.format}, not as {format}.")
    if needed is not None and needed not in found.files:
        raise CheckpointError(f"{folder}: {FILE_NAME} names no {needed}: export it again.")
    return found
