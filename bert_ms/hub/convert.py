"""One checkpoint format into another, without building the network."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bert_ms import checkpoint
from bert_ms.checkpoint import architecture
from bert_ms.config import BertConfig
from bert_ms.hub import catalogue

logger = logging.getLogger(__name__)


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    format: str,
    config: BertConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    allow_unused: Sequence[str] = (),
) -> Path:
    """Write weights in another format; every tensor that is part of a network is kept, heads included.

    Args:
        source: a directory, a file, or a catalogue name.
        destination: a directory, or a file name that ends in .ckpt or .safetensors.
        format: "mindspore" (our .ckpt), "safetensors" (Hugging Face's names), "modelzoo" (the zoo's .ckpt) or "tf1"
            (google's names, as TensorFlow writes them: an index and a shard; a file name is then their prefix).
        config: the configuration, where the source has none.
        allow_unused: patterns of tensors that may be left out though nothing explains them.

    Returns:
        The weights file that was written.

    Raises:
        CheckpointError: the source is broken or incomplete, or the format cannot hold it; nothing is left behind.
    """
    opened = checkpoint.open_checkpoint(catalogue.resolve(source), config=config)
    expected = architecture.encoder_shapes(opened.config)
    for name, entry in opened.entries.items():
        if name.startswith("pooler.") or name not in expected:
            shape = architecture.head_shape(name, opened.config, entry.shape)
            expected[name] = shape if shape is not None else entry.shape
    if "pooler.dense.weight" not in opened.entries:
        expected = {name: shape for name, shape in expected.items() if not name.startswith("pooler.")}
    report = checkpoint.plan(opened, expected, allow_unused=allow_unused)
    report.raise_if_bad()
    written = checkpoint.copy(opened, destination, format=format)
    logger.info("%s\nwritten to %s as %s", report.summary(), written, format)
    return written
