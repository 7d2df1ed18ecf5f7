"""`bert-ms inspect`: what is in a checkpoint."""

from __future__ import annotations

import argparse
import json

from bert_ms.hub.inspection import Inspection, inspect

_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
          "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps")  # fmt: skip
_SHOWN = 5


def show(arguments: argparse.Namespace) -> None:
    """Describe a checkpoint."""
    found = inspect(arguments.source, config=arguments.model_config)
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    print("\n".join(_lines(found)))


def _lines(found: Inspection) -> list[str]:
    stored = ", ".join(f"{count} as {name}" for name, count in found.stored_as.items())
    lines = [
        found.path,
        f"  format       {found.format}, names of {found.origin}",
        f"  trained for  {found.task}",
        f"  parameters   {found.parameters:,} in {found.bytes / 1e6:,.1f} MB ({stored})",
        f"  vocabulary   {', '.join(found.vocabulary) or 'none beside it: give model.vocab=FILE'}",
        "  network      " + ", ".join(f"{name} {getattr(found.config, name)}" for name in _SIZES),
    ]
    if found.config.relative_position != "none":
        lines.append(f"               NEZHA: {found.config.relative_position}, {found.config.max_relative_position}")
    layers = [name for name, has in (("BiLSTM", found.config.has_lstm), ("CRF", found.config.has_crf)) if has]
    if layers:
        lines.append(f"  head         with {' and '.join(layers)}")
    if found.config.labels:
        lines.append(f"  labels       {_few(found.config.labels)}")
    lines += [f"  assumed      {note}" for note in found.notes]
    lines += [f"  not needed   {count}: {why}" for why, count in found.dropped.items()]
    lines += [f"  unexplained  {len(found.unknown)}: {_few(found.unknown)}"] if found.unknown else []
    lines += [f"  missing      {len(found.missing)}: {_few(found.missing)}"] if found.missing else []
    lines.append("  as a network of")
    for task, parts in found.lacks.items():
        ready = "incomplete, see missing" if found.missing else "complete"
        lines.append(f"    {task:<24} {ready if not parts else 'new, to be trained: ' + ', '.join(parts)}")
    return lines


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", ... ({len(names) - _SHOWN} more)" if len(names) > _SHOWN else "")
