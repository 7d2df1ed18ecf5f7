"""`bert-ms inspect`: what is in a checkpoint, or in an exported folder."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from bert_ms.cli.export import record_lines
from bert_ms.config import BertConfig
from bert_ms.errors import ConfigError
from bert_ms.export.folder import CONFIG, is_exported, read_record
from bert_ms.hub import catalogue
from bert_ms.hub.inspection import Inspection, inspect

_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
          "max_position_embeddings", "type_vocab_size", "hidden_act", "layer_norm_eps")  # fmt: skip
_SHOWN = 5
_NO_VOCABULARY = "none beside it: put vocab.txt there, or give model.vocab=FILE"


def show(arguments: argparse.Namespace) -> None:
    """Describe a checkpoint, or an exported folder."""
    path = catalogue.resolve(arguments.source)
    if is_exported(path):
        _show_exported(path, arguments)
        return
    found = inspect(arguments.source, config=arguments.model_config)
    if arguments.json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    print("\n".join(_lines(found)))


def _show_exported(path: Path, arguments: argparse.Namespace) -> None:
    if arguments.model_config is not None:
        raise ConfigError(f"{path} is an exported network, which has its configuration: leave --model-config out.")
    record = read_record(path)
    if arguments.json:
        print(json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False))
        return
    config = BertConfig.from_file(path / CONFIG)
    lines = [*record_lines(path, record), f"  network      {_sizes(config)}"]
    if config.labels:
        lines.append(f"  labels       {_few(config.labels)}")
    made_by = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    print("\n".join([*lines, f"  made by      {made_by}"]))


def _sizes(config: BertConfig) -> str:
    names = list(_SIZES)
    if config.relative_position != "none":  # NEZHA
        names += ["relative_position", "max_relative_position"]
    if config.position_embedding_type != "absolute":
        names.append("position_embedding_type")
    return ", ".join(f"{name} {getattr(config, name)}" for name in names)


def _lines(found: Inspection) -> list[str]:
    stored = ", ".join(f"{count} as {name}" for name, count in found.stored_as.items())
    lines = [
        found.path,
        f"  format       {found.format}, names of {found.origin}",
        f"  trained for  {found.task}",
        f"  parameters   {found.parameters:,} in {found.bytes / 1e6:,.1f} MB ({stored})",
        f"  vocabulary   {', '.join(found.vocabulary) or _NO_VOCABULARY}",
        f"  network      {_sizes(found.config)}",
    ]
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
