"""`bert-ms export`: a network as files that run elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_ms.export.buckets import parse_buckets

if TYPE_CHECKING:
    from bert_ms.export.folder import ExportRecord
    from bert_ms.pipelines.exporting import ExportPlan


def export(arguments: argparse.Namespace) -> None:
    """Export a network, and say where it is, how large, and how far from the Cell."""
    options: dict[str, Any] = {
        "format": arguments.format,
        "task": arguments.task,
        "buckets": None if arguments.buckets is None else parse_buckets(arguments.buckets),
        "precision": arguments.precision,
        "config": arguments.model_config,
        "vocab": arguments.vocab,
        "overwrite": arguments.overwrite,
    }
    from bert_ms.pipelines import exporting

    if arguments.dry_run:
        print("\n".join(_plan_lines(exporting.plan_export(arguments.source, arguments.destination, **options))))
        return
    record = exporting.export_model(arguments.source, arguments.destination, device=arguments.device, **options)
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
    lines.append(
        "  verified     no: nothing here runs this format"
        if found is None
        else f"  verified     {found.inputs} rows of text: at most {found.max_abs_difference:.2g} from the Cell "
        f"({found.tolerance:.2g} allowed)"
    )
    return [*lines, f"  files        {files.strip()}"]


def _plan_lines(plan: ExportPlan) -> list[str]:
    exists = "replaced" if plan.destination.exists() and any(plan.destination.iterdir()) else "written"
    lines = [
        f"{plan.destination} would be {exists}; nothing is now",
        f"  format       {plan.format}, {plan.precision}",
        f"  task         {plan.task}: returns {', '.join(plan.outputs)}",
        f"  parameters   {plan.parameters:,}",
    ]
    lines += [f"  file         {name}, about {_size(size)}" for name, size in plan.files.items()]
    return [*lines, "  beside       export.json, config.json, vocab.txt, tokenizer.json, tokenizer_config.json"]


def _size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"
