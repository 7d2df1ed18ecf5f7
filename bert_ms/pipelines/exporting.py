"""From a checkpoint to an exported folder: graph, configuration, tokenizer, verified before it is called done."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import __version__, compat, kernels, tasks
from bert_ms.checkpoint.manifest import sha256
from bert_ms.config import BertConfig, RunConfig
from bert_ms.export import folder as folders
from bert_ms.export.buckets import Bucket
from bert_ms.export.folder import ExportRecord, Verification
from bert_ms.export.interface import outputs_of
from bert_ms.pipelines.export_plan import PACKAGES, ExportPlan, plan_export
from bert_ms.pipelines.quantizing import quantized
from bert_ms.pipelines.sentences import settings
from bert_ms.records import INPUT_NAMES

logger = logging.getLogger(__name__)


def export_model(
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
    device: str = "auto",
    overwrite: bool = False,
) -> ExportRecord:
    """Write a network as a folder that runs elsewhere, verified against its Cell.

    The folder appears whole, or not at all: `export.json`, the graph or graphs, configuration and tokenizer.

    Args:
        source: the folder of a training run, a checkpoint of any origin, or a catalogue name.
        destination: a folder that is not there yet, or is empty.
        format: "onnx" takes any batch and length; "mindir" and "air" have a graph for each bucket, "air" needs an
            Ascend.
        task: a task name; None takes what the weights were trained for.
        buckets: (rows, tokens) of each graph of "mindir" and "air"; None takes (1, 128) and (8, 384).
        precision: float32 (None); "mindir" and "air" also in float16.
        quantize: "dynamic" or "static" rounds the weights of an ONNX file, and what they are multiplied with, to INT8;
            the report `quantization.json` says what that cost.
        calibration: a file of your own data, on which "static" measures its ranges and the report its differences.
        evaluation: a file of labelled data that the report scores both files on.
        run: how these two files are read; None reads them as the task usually does.
        config: the configuration, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say.
        device: auto, cpu, gpu or ascend: where the Cell runs that the file is compared with.
        overwrite: replace an exported folder at the destination.

    Returns:
        What `export.json` says, the largest difference from the Cell among it.

    Raises:
        ConfigError: an argument cannot be used.
        CheckpointError: the weights cannot be read or have no head for the task, the destination is taken, or what
            was exported does not give what the Cell gives; nothing is left behind then.
        DependencyError: the packages of the extra [onnx] are not installed.
        DeviceError: the device is not there.

    Example:
        record = bert_ms.export_model("runs/squad_sample", "exported/squad")
        record.verification.max_abs_difference
    """
    plan = plan_export(
        source,
        destination,
        format=format,
        task=task,
        buckets=buckets,
        precision=precision,
        quantize=quantize,
        calibration=calibration,
        evaluation=evaluation,
        run=run,
        config=config,
        vocab=vocab,
        do_lower_case=do_lower_case,
        overwrite=overwrite,
    )
    compat.use_device("ascend" if format == "air" else device, graph_mode=True)
    with folders.staged_folder(plan.destination, overwrite=overwrite) as scratch:
        record = _write(plan, scratch)
        record.write(scratch)
    return record


def _write(plan: ExportPlan, scratch: Path) -> ExportRecord:
    """Everything but the record itself."""
    if plan.quantization is None:
        return _write_float(plan, scratch)[1]
    with tempfile.TemporaryDirectory(prefix=".bert_ms-", dir=scratch.parent) as place:
        before, fused = Path(place) / "float32", Path(place) / "fused"
        before.mkdir()
        fused.mkdir()
        network, record = _write_float(plan, before)
        record.write(before)
        _write_fused(plan, network, record, fused)
        del network
        return quantized(before, fused, scratch, plan.quantization, plan.tokenizer)


def _write_float(plan: ExportPlan, scratch: Path) -> tuple[Any, ExportRecord]:
    write = _write_onnx if plan.format == "onnx" else _write_graphs
    network, draft = write(plan, scratch)
    _write_companions(plan, network, scratch)
    record = dataclasses.replace(draft, files=folders.stored_files(scratch))
    verification = _verified(plan, network, record, scratch)
    if verification is not None:
        logger.info("verified on %d rows of text", verification.inputs)
    return network, dataclasses.replace(record, verification=verification)


def _write_fused(plan: ExportPlan, network: Any, record: ExportRecord, scratch: Path) -> None:
    """The graph that is rounded: with ONNX Runtime's own operators, and verified like the one without."""
    from bert_ms.export.onnx_graph import build
    from bert_ms.export.onnx_graph.files import save

    save(build(network, task=plan.task, for_runtime=True), scratch)
    _verified(plan, network, record, scratch)


def _write_onnx(plan: ExportPlan, scratch: Path) -> tuple[Any, ExportRecord]:
    from bert_ms.export.onnx_graph import build
    from bert_ms.export.onnx_graph.files import save

    network = _network(plan)
    save(build(network, task=plan.task), scratch)
    return network, _draft(plan, network.config)


def _write_graphs(plan: ExportPlan, scratch: Path) -> tuple[Any, ExportRecord]:
    from bert_ms.export.mindir import write_graphs

    with kernels.disabled():
        plain = _network(plan, dtype=plan.precision)
        write_graphs(plain, scratch, format=plan.format, task=plan.task, buckets=plan.buckets)
    del plain  # the Cell that it is compared with is the one that pipelines run, native operators and all
    network = _network(plan)
    return network, _draft(plan, network.config)


def _network(plan: ExportPlan, *, dtype: str = "float32") -> Any:
    from bert_ms.hub.load import from_trained

    instead = f"export it for '{plan.opened.task}'"
    return from_trained(plan.opened, plan.task, shown=plan.source, otherwise=instead, dtype=dtype)


def _draft(plan: ExportPlan, config: BertConfig) -> ExportRecord:
    outputs, row_outputs = outputs_of(plan.task, config)
    versions = {"bert_ms": __version__, "mindspore": compat.mindspore().__version__}
    if plan.format == "onnx":
        for package in PACKAGES:
            versions[package] = compat.require(package, extra="onnx", purpose="export to ONNX").__version__
    return ExportRecord(
        format=plan.format,  # type: ignore[arg-type]
        task=plan.task,
        precision=plan.precision,  # type: ignore[arg-type]
        inputs=INPUT_NAMES,
        outputs=outputs,
        row_outputs=row_outputs,
        buckets=plan.buckets,
        source={"name": Path(plan.source).resolve().name, "sha256": sha256(plan.opened.source.weights)},
        versions=versions,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    )


def _write_companions(plan: ExportPlan, network: Any, scratch: Path) -> None:
    """What makes answers of the graph's outputs: configuration, tokenizer, and what decoding or pooling needs."""
    from safetensors.numpy import save_file

    text = json.dumps(network.config.to_dict(), indent=2, sort_keys=True, ensure_ascii=False)
    (scratch / folders.CONFIG).write_text(text + "\n", encoding="utf-8")
    plan.tokenizer.save(scratch)
    if plan.task == "encoder":
        settings.take_along(plan.opened.source.directory, scratch)
    if plan.task == "token-classification" and network.config.has_crf:
        (name,) = tasks.get(plan.task).decoding_weights
        save_file({name: np.ascontiguousarray(network.crf.transitions.asnumpy())}, scratch / folders.TRANSITIONS)


def _verified(plan: ExportPlan, network: Any, record: ExportRecord, scratch: Path) -> Verification | None:
    """How the files compare with the Cell; None for AIR, which nothing here can run."""
    from bert_ms.export import verify

    options: dict[str, Any] = {"precision": plan.precision}
    if plan.format == "air":
        return None
    if plan.format == "onnx":
        from bert_ms.export.onnx_graph.files import MODEL_FILE
        from bert_ms.export.onnx_session import OnnxSession

        run: Any = OnnxSession(scratch / MODEL_FILE, outputs=record.outputs, device="cpu").run
    else:
        from bert_ms.export.mindir import MindirGraphs

        run, options["shapes"] = MindirGraphs(scratch, record).run_whole, record.buckets
    return verify.verify(network, run, tokenizer=plan.tokenizer, config=network.config, task=plan.task, **options)
