"""What an engine runs: a network of any origin as arrays in, named arrays out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.checkpoint import open_checkpoint
from bert_ms.checkpoint.manifest import sha256
from bert_ms.export.folder import is_exported, read_record
from bert_ms.pipelines.opening import OpenedPipeline, open_backend
from bert_ms.pipelines.pooling import pooled
from bert_ms.pipelines.text.kinds import named

from .compile_cache import CompileCache, sources_digest

VERSION_DIGITS = 16
ENCODER, GAPS = "feature-extraction", "fill-mask"
# Vectors of a row that an encoder's engine gives instead of one for each token.
POOLED = "pooled_output"
POOLINGS = ("cls", "mean", "max")


@dataclass(frozen=True)
class Program:
    """A network that is ready to run.

    Attributes:
        pipeline: name of the pipeline that it is for.
        task: of the network.
        version: the first digits of the sha256 of its weights.
        device: cpu, gpu or ascend.
        shapes: (rows, tokens) that there is a graph for, where only those run; empty where any will do.
        opened: what it runs on.
        threads: of one operator; None is the runtime's choice.
    """

    pipeline: str
    task: str
    version: str
    device: str
    shapes: tuple[tuple[int, int], ...]
    opened: OpenedPipeline
    threads: int | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `run` returns."""
        if self.pipeline != ENCODER:
            return tuple(self.opened.backend.outputs)
        return (*POOLINGS, POOLED) if self.opened.config.add_pooler else POOLINGS

    @property
    def row_outputs(self) -> tuple[str, ...]:
        """Those of them that are one a row; the others are one a token."""
        return self.outputs if self.pipeline == ENCODER else tuple(self.opened.backend.row_outputs)

    @property
    def takes_any_shape(self) -> bool:
        """Whether batches of every shape run without being compiled for, once one has run."""
        return self.opened.backend.takes_any_shape

    @property
    def takes_positions(self) -> bool:
        """Whether it takes the place of one gap a row after its inputs."""
        return self.pipeline == GAPS

    @property
    def transitions(self) -> np.ndarray | None:
        """Of its CRF, where it has one."""
        return self.opened.options.get("transitions")

    def run(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs float32 of int32 input_ids, attention_mask, token_type_ids [B, S] and perhaps positions [B, 1]."""
        found = dict(zip(self.opened.backend.outputs, self.opened.backend.run(arrays), strict=False))
        if self.pipeline == ENCODER:
            rows = {name: pooled(found["last_hidden_state"], arrays[1], name) for name in POOLINGS}
            return rows | ({POOLED: found[POOLED]} if POOLED in self.outputs else {})
        return found

    def spread_ids(self, shape: tuple[int, int]) -> list[np.ndarray]:
        """Inputs of a shape with ids from all over the vocabulary."""
        ids = (np.arange(shape[0] * shape[1]) * 7919 % self.opened.config.vocab_size).astype(np.int32).reshape(shape)
        arrays = [ids, np.ones_like(ids), np.zeros_like(ids)]
        return [*arrays, np.ones((shape[0], 1), np.int32)] if self.takes_positions else arrays

    def compile_cache(self, root: str | None, shapes: Sequence[tuple[int, int]]) -> CompileCache | None:
        """Where graphs of these shapes, compiled in this order, are kept; None where they are not."""
        if root is None or self.opened.format != "cell":
            return None
        from bert_ms import compat
        from bert_ms.kernels import switch

        ms = compat.mindspore()
        key = {
            "mindspore": ms.__version__,
            "sources": sources_digest(),
            "kernels": str(switch.library()) if switch.enabled() else "",
            "config": dataclasses.asdict(self.opened.config),
            "pipeline": self.pipeline,
            "weights": self.version,
            "precision": self.opened.precision,
            "device": self.device,
            "threads": self.threads,
            "shapes": [list(shape) for shape in shapes],
        }

        def use(folder: Path | None) -> None:
            if folder is not None:
                ms.set_context(compile_cache_path=str(folder))
            ms.set_context(enable_compile_cache=folder is not None)

        return CompileCache(Path(root), key, switch=use)


def open_program(job: Mapping[str, Any]) -> Program:
    """The program of a job: source, task, engine, device, dtype, threads, allow_new_head.

    Raises:
        BertMsError: the source cannot be read, or has no network for the task.
    """
    path = Path(job["source"])
    shapes: tuple[tuple[int, int], ...] = ()
    if is_exported(path):
        record = read_record(path)
        task, shapes = record.task, record.buckets
        digests = "".join(file.sha256 for file in record.files.values()).encode()
        version_of = partial(_hex, digests)
    else:
        checkpoint = open_checkpoint(path)
        task, version_of = job["task"] or checkpoint.task, partial(_version, checkpoint.weights.files)
        del checkpoint
    name = named(job["task"] or task)
    with ThreadPoolExecutor(1) as beside:  # hashing takes as long as reading, and leaves Python to others
        version = beside.submit(version_of)
        opened = open_backend(
            name,
            path,
            backend=job["engine"],
            device=job["device"],
            dtype=job["dtype"],
            threads=job["threads"],
            allow_new_head=job["allow_new_head"],
        )
    return Program(
        pipeline=name,
        task=job["task"] or task,
        version=version.result()[:VERSION_DIGITS],
        device=_device(opened.format),
        shapes=shapes,
        opened=opened,
        threads=job["threads"],
    )


def _version(files: Sequence[Path]) -> str:
    """sha256 of the weights; of several files, of their digests."""
    digests = [sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else _hex("".join(digests).encode())


def _hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _device(format: str) -> str:
    from bert_ms import compat

    return "cpu" if format == "onnx" else compat.current_device()
