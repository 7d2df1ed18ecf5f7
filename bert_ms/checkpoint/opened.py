"""A checkpoint opened: its tensors under our names, with a configuration that has been checked against them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.checkpoint import architecture, companions, names, source
from bert_ms.checkpoint.weights import Entry, Weights
from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.tokenization import places

IDLE_POSITIONS = "position table that relative positions leave unused"
TIED_COPY = "copy of a tied parameter"
UNTIED_BIAS = "bias that the decoder's own replaces"

# What decides the shapes or the meaning of tensors: a caller's configuration may not contradict the file's own here.
_STRUCTURAL = (
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "type_vocab_size", "position_embedding_type", "relative_position",
)  # fmt: skip
# What changes results without changing shapes: noted where a caller's configuration differs from the file's own.
_NUMERIC = ("hidden_act", "layer_norm_eps", "max_relative_position")


@dataclass(frozen=True)
class Checkpoint:
    """Weights from anywhere, as this package sees them; nothing is in memory until it is asked for.

    Attributes:
        source: the files.
        weights: the tensors by the file's names.
        origin: whose names those are.
        entries: the tensors by our bare names (encoder names without `bert.`).
        file_names: our bare name -> the file's.
        dropped: reason -> file names that are known and not needed.
        unknown: file names that nothing explains.
        config: of the network that the weights are for, checked against their shapes.
        notes: what was assumed.
    """

    source: source.Source
    weights: Weights
    origin: str
    entries: Mapping[str, Entry]
    file_names: Mapping[str, str]
    dropped: Mapping[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    config: BertConfig
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """What the weights were trained for, by the configuration, else by the heads that are there."""
        by_heads = architecture.task_of(self.entries)
        return self.config.task if self.config.task and by_heads != "encoder" else by_heads

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by our bare names."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def array(self, name: str) -> np.ndarray:
        """One tensor by our bare name, float32 if it is stored in half precision."""
        return self.entries[name].load()


def read(path: str | os.PathLike[str]) -> Weights:
    """The tensors of a directory or file by the names that are in it.

    Raises:
        CheckpointError: there are no weights, or they are broken.
    """
    return source.read_weights(source.locate(path))


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    config: BertConfig | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    num_attention_heads: int | None = None,
) -> Checkpoint:
    """Open weights of any format and origin, and settle the configuration of their network.

    Args:
        path: a directory or a file.
        config: the configuration, for weights that come without one; checked against the file's own and its shapes.
        num_attention_heads: the one size that shapes may not tell, for weights without any configuration.

    Raises:
        CheckpointError: the weights are broken, are not BERT's or NEZHA's, or do not fit the configuration.
        ConfigError: a configuration cannot be read.
    """
    where = source.locate(path)
    if where.manifest is not None:
        where.manifest.verify(where.weights)
    weights = source.read_weights(where)
    if where.manifest is not None:
        for shard in weights.files[1:]:
            where.manifest.verify(shard)
    if weights.absent:
        absent = ", ".join(path.name for path in weights.absent)
        raise CheckpointError(
            f"{where.weights} names {len(weights)} tensors, but the files with their numbers are not there: {absent}. "
            f"Copy them beside it."
        )
    translation = names.translate(weights, file=str(where.weights))
    entries = {ours: _entry(weights.entries[found.name], found) for ours, found in translation.found.items()}
    file_names = {ours: found.name for ours, found in translation.found.items()}
    dropped: dict[str, list[str]] = {why: list(dropped_names) for why, dropped_names in translation.dropped.items()}

    def drop(name: str, why: str) -> None:
        del entries[name]
        dropped.setdefault(why, []).append(file_names.pop(name))

    is_zoo = translation.table is names.MODEL_ZOO
    shapes = {name: entry.shape for name, entry in entries.items()}
    heads = _heads(weights, translation)
    settled, notes = _settle_config(
        where, config, shapes, table=translation.table, is_zoo=is_zoo, heads=num_attention_heads or heads
    )
    if architecture.has_idle_positions(settled, shapes, is_own_config=config is None):
        drop(architecture.POSITION_TABLE, IDLE_POSITIONS)
    settled = _settle_decoder(settled, entries, file_names, drop)
    settled = architecture.with_head_parts(settled, {name: entry.shape for name, entry in entries.items()})
    _check(where, settled, {name: entry.shape for name, entry in entries.items()}, heads=heads)
    return Checkpoint(
        source=where,
        weights=weights,
        origin=translation.table.name,
        entries=entries,
        file_names=file_names,
        dropped={why: tuple(dropped_names) for why, dropped_names in dropped.items()},
        unknown=translation.unknown,
        config=settled,
        notes=tuple(notes),
    )


def _entry(entry: Entry, found: names.Found) -> Entry:
    merged = entry.merged(found.merged)
    return merged.transposed() if found.is_transposed else merged


def _heads(weights: Weights, translation: names.Translation) -> int | None:
    """How many heads there are, where the file keeps them as an axis of their own."""
    with_axis = (weights.shapes[found.name] for found in translation.found.values() if found.merged == "last")
    return next((shape[-2] for shape in with_axis if len(shape) >= 2), None)


def _settle_config(
    where: source.Source,
    given: Any,
    shapes: architecture.Shapes,
    *,
    table: names.NameTable,
    is_zoo: bool,
    heads: int | None,
) -> tuple[BertConfig, list[str]]:
    own, named = _own_config(where, table.plain_keys)
    if given is not None:
        asked = _as_config(given, table.plain_keys)
        notes = _compare(asked, own, named) if own else []
        return asked, notes
    if own is None:
        return architecture.infer(shapes, dialect=table.dialect, is_zoo=is_zoo, name=str(where.weights), heads=heads)
    notes = [f"configuration from {named}"] if where.path != where.directory and where.manifest is None else []
    return own, notes


def _own_config(where: source.Source, plain: str) -> tuple[BertConfig | None, str]:
    if where.manifest is not None and where.manifest.config is not None:
        return BertConfig.from_dict(where.manifest.config, source=str(where.weights)), "its manifest"
    if where.config is None:
        return None, ""
    return BertConfig.from_file(where.config, plain=plain), str(where.config)


def _as_config(given: Any, plain: str) -> BertConfig:
    if isinstance(given, BertConfig):
        return given
    if isinstance(given, Mapping):
        return BertConfig.from_dict(given, source="config=", plain=plain)
    if isinstance(given, (str, os.PathLike)):
        return BertConfig.from_file(given, plain=plain)
    raise ConfigError(f"config= is a {type(given).__name__}: expected a BertConfig, a mapping, or the path of a file.")


def _compare(asked: BertConfig, own: BertConfig, named: str) -> list[str]:
    fields = [f for f in _STRUCTURAL if getattr(asked, f) != getattr(own, f)]
    if fields:
        differences = "; ".join(f"{f} is {getattr(asked, f)!r}, there {getattr(own, f)!r}" for f in fields)
        raise CheckpointError(
            f"config= contradicts {named}, which comes with the weights: {differences}. Leave config= out, or change "
            f"only what does not shape the network (dropout, labels, ...)."
        )
    return [
        f"{f} is {getattr(asked, f)!r} by config=, {getattr(own, f)!r} in {named}"
        for f in _NUMERIC
        if getattr(asked, f) != getattr(own, f)
    ]


def _settle_decoder(
    config: BertConfig, entries: dict[str, Entry], file_names: dict[str, str], drop: Callable[[str, str], None]
) -> BertConfig:
    """Leave one decoder weight at most (none when it is tied to the word table), and one bias."""
    weight, bias, own_bias = "predictions.decoder.weight", "predictions.bias", "predictions.decoder.bias"
    if weight not in entries:
        if own_bias in entries:
            drop(own_bias, TIED_COPY)
        return config
    if config.tie_word_embeddings and np.array_equal(entries[weight].load(), entries[architecture.WORD_TABLE].load()):
        drop(weight, TIED_COPY)
        if own_bias in entries:
            drop(own_bias, TIED_COPY)
        return config
    if own_bias in entries:
        if bias in entries:
            drop(bias, UNTIED_BIAS)
        entries[bias], file_names[bias] = entries.pop(own_bias), file_names.pop(own_bias)
    return dataclasses.replace(config, tie_word_embeddings=False)


def _check(where: source.Source, config: BertConfig, shapes: architecture.Shapes, *, heads: int | None) -> None:
    problems = list(architecture.disagreements(config, shapes))
    if heads is not None and heads != config.num_attention_heads:
        problems.append(
            f"num_attention_heads is {config.num_attention_heads} in the configuration, but {heads} in the file"
        )
    rows = architecture.observed(shapes).get("vocab_size")
    for vocabulary, words in _vocabularies(where.directory):
        if rows is not None and words > rows:
            problems.append(
                f"{vocabulary} has {words} entries, the word table only {rows} rows: it is another model's vocabulary"
            )
    if problems:
        raise CheckpointError(f"{where.weights} does not fit its configuration: " + "; ".join(problems) + ".")


def _vocabularies(directory: Path) -> Iterator[tuple[Path, int]]:
    """The vocabulary beside the weights, if there is one, with the number of its entries."""
    if (text_file := places.text_file(directory)) is not None:
        companions.check_size(text_file)
        yield text_file, _lines(text_file)
    elif (gluon_file := places.gluon_file(directory)) is not None:
        yield gluon_file, len(places.read_gluon(gluon_file)[0])


def _lines(file: Path) -> int:
    with file.open("rb") as opened:
        return sum(1 for line in opened if line.strip(b"\r\n"))


def bare(parameter_names: Iterable[str]) -> dict[str, str]:
    """Bare name -> the network's own name, for the parameters of a network."""
    return {names.without_encoder(name): name for name in parameter_names}
