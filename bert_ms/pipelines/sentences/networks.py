"""What makes vectors of rows: an encoder's Cell, or an exported encoder with the pooling in numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bert_ms.config import INT8, BertConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.pipelines.backends import Backend, CellBackend
from bert_ms.pipelines.exported import Exported, find_exported
from bert_ms.pipelines.opening import prepare_device
from bert_ms.pipelines.pooling import pooled
from bert_ms.pipelines.sentences.search import normalised

_VECTORS: tuple[str, ...] = ("vectors",)
_POOLINGS = ("mean", "cls", "max", "pooled")


class VectorNetwork(Protocol):
    """An encoder that vectors are made with.

    Attributes:
        config: of the encoder.
        longest: row that it can take, in tokens; None if there is no such length.
    """

    config: BertConfig
    longest: int | None

    def sentences(self, pooling: str, layers: Sequence[int], normalize: bool) -> Backend:
        """A backend of one vector a row [B, H]; see `bert_ms.model.pooling.SentenceVectors`."""

    def tokens(self, layers: Sequence[int]) -> Backend:
        """A backend of one vector a token [B, S, H]; see `bert_ms.model.pooling.TokenVectors`."""


def open_network(
    path: Path,
    shown: str | os.PathLike[str],
    *,
    layers: Sequence[int],
    backend: str,
    device: str,
    dtype: str | None,
    threads: int | None,
    config: Any,
) -> VectorNetwork:
    """The encoder of a source.

    Args:
        path: of the source.
        shown: the source as errors call it.
        layers: that will be asked for; what cannot give them is not read.
        backend: as of `open_backend`, as is what follows.
        device: that it runs on.
        dtype: numbers that a Cell computes in.
        threads: of one operator.
        config: the configuration, for weights that come without one.

    Raises:
        ConfigError: the backend is unknown, the source is of another kind, or there is no such encoder in the dtype.
        CheckpointError: the weights cannot be read.
        DeviceError: the device is not there, or cannot compute in the dtype.
    """
    exported = find_exported(path, shown=shown, backend=backend, config=config, dtype=dtype)
    if exported is not None:
        return ExportedNetwork(exported, device=device, threads=threads)
    from bert_ms import checkpoint
    from bert_ms.hub.load import from_checkpoint

    opened = checkpoint.open_checkpoint(path, config=config)
    last = opened.config.num_hidden_layers
    if dtype == INT8 and any(layer not in (-1, last) for layer in layers):
        raise ConfigError(
            f"dtype is int8, which gives the last layer alone, and layers is {list(layers)}: take -1, or use float32."
        )
    prepare_device(device, threads)
    return CellNetwork(from_checkpoint(opened, "encoder", dtype=dtype))


class CellNetwork:
    """An encoder's Cell.

    Args:
        network: of task encoder, in evaluation mode.
    """

    def __init__(self, network: Any):
        self.network, self.config = network, network.config
        self.longest = self.config.max_sequence_length

    def sentences(self, pooling: str, layers: Sequence[int], normalize: bool) -> Backend:
        """See `VectorNetwork`."""
        from bert_ms.model.pooling import SentenceVectors

        cell = SentenceVectors(self.network, pooling, layers, normalize)
        return CellBackend(cell, outputs=_VECTORS, row_outputs=_VECTORS)

    def tokens(self, layers: Sequence[int]) -> Backend:
        """See `VectorNetwork`."""
        from bert_ms.model.pooling import TokenVectors

        return CellBackend(TokenVectors(self.network, layers), outputs=_VECTORS)


class ExportedNetwork:
    """An exported encoder, which has the last layer alone.

    Args:
        exported: the encoder.
        device: auto, cpu, gpu or ascend.
        threads: CPU threads of one operator; None leaves the choice to what runs it.

    Raises:
        ConfigError: it was exported for another task.
    """

    def __init__(self, exported: Exported, *, device: str = "auto", threads: int | None = None):
        if exported.record.task != "encoder":
            raise ConfigError(
                f"{exported.path} was exported for '{exported.record.task}', and sentence vectors need an encoder: "
                f"export it again (bert-ms export SOURCE DIR --task encoder)."
            )
        self.exported, self.config = exported, exported.config
        self._backend: Backend = exported.backend(device=device, threads=threads)
        self.longest = getattr(self._backend, "longest", self.config.max_sequence_length)

    def sentences(self, pooling: str, layers: Sequence[int], normalize: bool) -> Backend:
        """See `VectorNetwork`."""
        if pooling not in _POOLINGS:
            raise ConfigError(unknown("pooling", pooling, _POOLINGS))
        if pooling == "pooled" and "pooled_output" not in self._backend.outputs:
            raise ConfigError("pooling is 'pooled', but these weights have no pooler: use mean, cls or max.")
        self._check_layers(layers)
        return PooledRows(self._backend, pooling, normalize)

    def tokens(self, layers: Sequence[int]) -> Backend:
        """See `VectorNetwork`."""
        self._check_layers(layers)
        return LastLayer(self._backend)

    def _check_layers(self, layers: Sequence[int]) -> None:
        if tuple(layer % (self.config.num_hidden_layers + 1) for layer in layers) != (self.config.num_hidden_layers,):
            raise ConfigError(
                f"layers is {list(layers)}, and {self.exported.path} was exported with its last layer alone: use "
                f"layers=(-1,), or the checkpoint itself."
            )


class LastLayer:
    """An exported encoder as a backend of token vectors."""

    outputs = _VECTORS
    row_outputs: tuple[str, ...] = ()

    def __init__(self, backend: Backend):
        self.backend, self.takes_any_shape = backend, backend.takes_any_shape

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Vectors [B, S, H]."""
        return self.backend.run(arrays)[:1]


class PooledRows:
    """An exported encoder as a backend of row vectors, by the formulas of `bert_ms.model.pooling`."""

    outputs = _VECTORS
    row_outputs = _VECTORS

    def __init__(self, backend: Backend, pooling: str, normalize: bool):
        self.backend, self.pooling, self.normalize = backend, pooling, normalize
        self.takes_any_shape = backend.takes_any_shape

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Vectors [B, H]."""
        outputs = self.backend.run(arrays)
        if self.pooling == "pooled":
            vectors = outputs[list(self.backend.outputs).index("pooled_output")]
        else:
            vectors = pooled(outputs[0], arrays[1], self.pooling)
        return (normalised(vectors) if self.normalize else vectors,)
