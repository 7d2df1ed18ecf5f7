"""What an export is going to write, checked as far as it can be without running anything."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from bert_ms import checkpoint, compat, tasks
from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.export import folder as folders
from bert_ms.export.buckets import Bucket, settled_buckets
from bert_ms.export.interface import outputs_of
from bert_ms.export.mindir import check_device, file_name
from bert_ms.export.onnx_graph.files import MODEL_FILE
from bert_ms.hub import catalogue
from bert_ms.hub.inspection import lacking, no_head
from bert_ms.pipelines.quantizing import Quantization, settled_quantization
from bert_ms.tokenization import Tokenizer

# Numbers that a format can be written in, the usual first.
PRECISIONS = {"onnx": ("float32",), "mindir": ("float32", "float16"), "air": ("float32", "float16")}
PACKAGES = ("onnx", "onnxruntime")
_WEIGHT_BYTES = 4  # weights are kept in float32, and cast in the graph where it computes in less


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What an export is going to write; all that can be wrong with it without MindSpore is known not to be.

    Attributes:
        source: as it was given.
        destination: folder to write.
        format: onnx, mindir or air.
        task: of the network.
        precision: of its numbers.
        buckets: (rows, tokens) of each graph; empty where one takes any.
        quantization: how it is rounded to INT8; None leaves it in floating point.
        outputs: that the network will return.
        parameters: numbers in it.
        files: names of the graph files, with their bytes, roughly.
        opened: the weights.
        tokenizer: of the network.
    """

    source: str
    destination: Path
    format: str
    task: str
    precision: str
    buckets: tuple[Bucket, ...]
    quantization: Quantization | None
    outputs: tuple[str, ...]
    parameters: int
    files: Mapping[str, int]
    opened: checkpoint.Checkpoint
    tokenizer: Tokenizer


def plan_export(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    format: str = "onnx",
    task: str | None = None,
    buckets: Sequence[Bucket] | None = None,
    precision: str | None = None,
    quantize: str | None = None,
    calibration: str | os.PathLike[str] | None = None,
    evaluation: str | os.PathLike[str] | None = None,
    run: RunConfig | None = None,
    config: Any = None,
    vocab: str | os.PathLike[str] | None = None,
    do_lower_case: bool | None = None,
    overwrite: bool = False,
) -> ExportPlan:
    """What `export_model` would write with the same arguments; nothing is written.

    Raises:
        ConfigError: an argument cannot be used.
        CheckpointError: the weights cannot be read or have no head for the task, or the destination is taken.
        DependencyError: the packages of the extra [onnx] are not installed.
        DeviceError: AIR was asked for, and there is no Ascend.
    """
    _check_arguments(format, task, buckets, precision, quantize)
    folders.check_destination(destination, overwrite=overwrite)
    if format == "air":
        check_device(format)
    if format == "onnx":
        for package in PACKAGES:
            compat.require(package, extra="onnx", purpose="export to ONNX")
    path = catalogue.resolve(source)
    opened = checkpoint.open_checkpoint(path, config=config)
    if opened.config.add_cross_attention:
        raise ConfigError(
            f"{source} is a decoder that attends to another encoder (add_cross_attention), whose states are no input "
            f"of an exported network: use the checkpoint itself."
        )
    chosen = task or opened.task
    if chosen != opened.task and (parts := lacking(chosen, opened)):
        raise no_head(opened, chosen, parts, shown=source, otherwise=f"export it for '{opened.task}'")
    tokenizer = Tokenizer.from_pretrained(path, vocab=vocab, do_lower_case=do_lower_case)
    tokenizer.check_against(opened.config.vocab_size)
    quantization = None
    if quantize is not None:
        longest = opened.config.max_sequence_length
        quantization = settled_quantization(quantize, chosen, calibration, evaluation, run, longest=longest)
    settled = () if format == "onnx" else settled_buckets(buckets, opened.config.max_sequence_length)
    numbers = sum(prod(entry.shape) for entry in opened.entries.values())
    names = [file_name(bucket, format) for bucket in settled] or [MODEL_FILE]
    has_pooler = "pooler.dense.weight" in opened.entries
    return ExportPlan(
        source=str(source),
        destination=Path(destination).expanduser(),
        format=format,
        task=chosen,
        precision=precision or PRECISIONS[format][0],
        quantization=quantization,
        buckets=settled,
        outputs=outputs_of(chosen, dataclasses.replace(opened.config, add_pooler=has_pooler))[0],
        parameters=numbers,
        files=dict.fromkeys(names, numbers * _WEIGHT_BYTES),
        opened=opened,
        tokenizer=tokenizer,
    )


def _check_arguments(
    format: str, task: str | None, buckets: Sequence[Bucket] | None, precision: str | None, quantize: str | None
) -> None:
    problems = []
    if format not in folders.FORMATS:
        raise ConfigError(unknown("format", format, folders.FORMATS))
    if task is not None and task not in tasks.TASKS:
        problems.append(tasks.no_task(task))
    if buckets is not None and format == "onnx":
        problems.append("buckets are given, and an ONNX file takes any batch and length: leave them out.")
    if precision is not None and precision not in PRECISIONS[format]:
        problems.append(f"precision is {precision}: {format} is written in {' or '.join(PRECISIONS[format])}.")
    if quantize is not None and format != "onnx":
        problems.append(f"quantize is {quantize}, and format {format}: only ONNX files are rounded to INT8.")
    if problems:
        raise ConfigError(problems)
