"""`bert-ms export`: a network as files that run elsewhere."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_ms.config.loading import resolve_config
from bert_ms.errors import CheckpointError
from bert_ms.export.buckets import parse_buckets
from bert_ms.export.folder import MAX_BYTES
from bert_ms.export.quantization import REPORT_FILE

if TYPE_CHECKING:
    from bert_ms.export.folder import ExportRecord
    from bert_ms.pipelines.export_plan import ExportPlan


def export(arguments: argparse.Namespace) -> None:
    """Export a network, and say where it is, how large, and how far from the Cell."""
    is_read = arguments.config is not None or bool(arguments.overrides)
    options: dict[str, Any] = {
        "format": arguments.format,
        "task": arguments.task,
        "buckets": None if arguments.buckets is None else parse_buckets(arguments.buckets),
        "precision": arguments.precision,
        "quantize": arguments.quantize,
        "calibration": arguments.calibration,
        "evaluation": arguments.evaluation,
        "run": resolve_config(arguments.config, arguments.overrides) if is_read else None,
        "config": arguments.model_config,
        "vocab": arguments.vocab,
        "overwrite": arguments.overwrite,
    }
    from bert_ms.pipelines.export_plan import plan_export
    from bert_ms.pipelines.exporting import export_model

    if arguments.dry_run:
        print("\n".join(_plan_lines(plan_export(arguments.source, arguments.destination, **options))))
        return
    record = export_model(arguments.source, arguments.destination, device=arguments.device, **options)
    print("\n".join(record_lines(Path(arguments.destination), record)))


def record_lines(folder: Path, record: ExportRecord) -> list[str]:
    """What there is to say of an exported folder."""
    files = "".join(f"\n               {name}  {_size(stored.bytes)}" for name, stored in record.files.items())
    lines = [
        f"{folder}: {_size(record.size)}",
        f"  format       {record.format}, {record.precision}",
        f"  task         {record.task}: {', '.join(record.inputs)} -> {', '.join(record.outputs)}",
    ]
    if record.buckets:
        lines.append("  buckets      " + ", ".join(f"{rows}x{tokens}" for rows, tokens in record.buckets))
    lines.append(f"  made of      {record.source.get('name', 'weights that it does not name')}, {record.created}")
    found = record.verification
    if found is None:
        lines.append("  verified     no: nothing here runs this format")
    else:
        before = ", before rounding" if record.precision.startswith("int8") else ""
        lines.append(
            f"  verified     {found.inputs} rows of text{before}: at most {found.max_abs_difference:.2g} from the Cell "
            f"({found.tolerance:.2g} allowed)"
        )
    return [*lines, *_rounding_lines(folder, record), f"  files        {files.strip()}"]


def _rounding_lines(folder: Path, record: ExportRecord) -> list[str]:
    """What rounding to INT8 cost, from the report in the folder."""
    if REPORT_FILE not in record.files:
        return []
    path = folder / REPORT_FILE
    try:
        if record.files[REPORT_FILE].bytes > MAX_BYTES:
            raise ValueError("it is too large")
        report = json.loads(path.read_text(encoding="utf-8"))
        lines = [
            f"  rounding     {name}: cosine {found['cosine']:.4f}, the same choice in {found['agreement']:.1%}"
            for name, found in report["differences"].items()
        ]
        scores = report.get("scores", {"float32": {}, "int8": {}})
        return lines + [
            f"  score        {name}: {value:.4g} in float32, {scores['int8'][name]:.4g} in INT8"
            for name, value in scores["float32"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is no report of rounding ({error}): export again.") from None


def _plan_lines(plan: ExportPlan) -> list[str]:
    exists = "replaced" if plan.destination.exists() and any(plan.destination.iterdir()) else "written"
    lines = [
        f"{plan.destination} would be {exists}; nothing is now",
        f"  format       {plan.format}, {plan.precision}",
        f"  task         {plan.task}: returns {', '.join(plan.outputs)}",
        f"  parameters   {plan.parameters:,}",
    ]
    if plan.quantization is not None:
        lines.append(f"  rounded      to INT8, {plan.quantization.mode}: about a quarter of what follows")
    lines += [f"  file         {name}, about {_size(size)}" for name, size in plan.files.items()]
    return [*lines, "  beside       export.json, config.json, vocab.txt, tokenizer.json, tokenizer_config.json"]


def _size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
