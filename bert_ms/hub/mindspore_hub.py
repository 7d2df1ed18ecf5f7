"""Networks for MindSpore Hub's cards: the hub's own BERT cards, and those that `publish` writes.

The hub calls `create_network(model-name of the card, ...)`, then fills the network by parameter names, and only warns
about names that do not match. So the parameters get the names of the card's checkpoint; where that file lies beside the
card, it is also loaded here, strictly, so that a wrong file is an error.
Source: mindspore_hub 2.0 `load.py`; the cards under mshub_res/assets/mindspore/{1.3 .. 1.10}/bert*.md.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_ms import checkpoint
from bert_ms.checkpoint import manifest, names
from bert_ms.config import INT8, BertConfig
from bert_ms.errors import CheckpointError, ConfigError, unknown
from bert_ms.hub import card, load

if TYPE_CHECKING:
    from mindspore import nn

logger = logging.getLogger(__name__)

_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
# model-name of the hub's BERT cards -> what its configuration has other than BERT-base in the model zoo. The name does
# not tell the task: the cards of SQuAD, TNEWS and CLUENER are "bert_base", "bert_finetune" or "bert_finetuning" alike.
HUB_CARDS: dict[str, dict[str, Any]] = {
    "bert_base": {"vocab_size": 21128},
    "bert_finetuning": {},
    "bert_finetune": {},
    "bert_large": _LARGE,
    "bert_thor": _LARGE,
    "bert_nezha": {**_LARGE, "vocab_size": 21128, "use_relative_positions": True},
}
# Cards of pretrained weights are for the encoder, as in the zoo's own create_network.
_PRETRAINING = ("pretraining", "masked-lm", "next-sentence")
_ZOO_DEFAULTS = {"seq_length": 128}
_OPTIONS = ("seq_length", "is_training", "task", "num_labels", "dtype", "use_relative_positions")


def create_network(name: str, *args: Any, directory: Path | None = None, **kwargs: Any) -> nn.Cell:
    """The network of a hub card.

    Args:
        name: the card's model-name.
        args: taken for the zoo's sake (`use_one_hot_embeddings`), without effect.
        directory: of the mindspore_hub_conf.py that was called; cards and checkpoints lie above it.
        kwargs: seq_length, is_training, vocab_size, num_labels, task, dtype, or any field of BertConfig. What the
            checkpoint beside the card says itself need not be given, and may not be contradicted.

    Returns:
        A Cell with the parameter names of the card's checkpoint (without one: of the model zoo's files), with `config`.

    Raises:
        ConfigError: the name or a keyword is unknown, or dtype is int8.
        CheckpointError: the checkpoint beside the card does not fit.
    """
    if any(not isinstance(arg, bool) for arg in args):
        raise ConfigError(f"create_network('{name}') got {args}: give seq_length, task, num_labels, ... by keyword.")
    options = _checked(name, kwargs)
    assets = _assets(name, directory) if directory is not None else []
    opened = _choose(name, assets, options)
    if opened is None:
        cell = _from_card_name(name, options)
    else:
        cell = _from_file(opened, options)
    _check_length(cell.config, options.get("seq_length"))
    return cell.set_train(bool(options.get("is_training", False)))


def _checked(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    fields = [f.name for f in dataclasses.fields(BertConfig)]
    problems = [unknown("keyword", key, {*_OPTIONS, *fields}) for key in kwargs if key not in (*_OPTIONS, *fields)]
    if kwargs.get("dtype") == INT8:
        problems.append(
            "dtype is int8, whose rounded layers the hub cannot fill with the card's checkpoint: leave it out, or call "
            "bert_ms.from_pretrained(directory of the card, task, dtype='int8')."
        )
    if problems:
        raise ConfigError(problems, source=f"create_network('{name}')")
    return dict(kwargs)


def _assets(name: str, directory: Path) -> list[tuple[Path, card.Asset]]:
    """Checkpoints, beside the cards of this name, that are there."""
    found = [
        (directory.parent / asset.file_name, asset)
        for entry in card.beside(directory)
        if entry.name == name.lower()
        for asset in entry.assets
    ]
    return [(path, asset) for path, asset in found if path.is_file()]


def _choose(
    name: str, assets: list[tuple[Path, card.Asset]], options: Mapping[str, Any]
) -> checkpoint.Checkpoint | None:
    """The one checkpoint that the call can mean; None when none is there or the call does not tell which."""
    heads, task = options.get("num_attention_heads"), options.get("task")
    opened = [(asset, checkpoint.open_checkpoint(path, num_attention_heads=heads)) for path, asset in assets]
    fitting = [(asset, one) for asset, one in opened if task in (None, one.task)]
    if len(opened) == 1:
        fitting = opened  # whatever its task: another head on this card's encoder is new
    if len(fitting) != 1:
        if opened:
            logger.warning("%d checkpoints lie beside cards '%s': names follow the zoo's files", len(opened), name)
        return None
    asset, chosen = fitting[0]
    path = chosen.source.weights
    if asset.sha256 is not None and manifest.sha256(path) != asset.sha256:
        raise CheckpointError(f"{path} has another sha256 than its card says ({asset.sha256[:16]}...): copy it again.")
    return chosen


def _from_file(opened: checkpoint.Checkpoint, options: Mapping[str, Any]) -> nn.Cell:
    asked = {k: v for k, v in options.items() if k not in _OPTIONS}
    differing = {k: v for k, v in asked.items() if getattr(opened.config, k) != v}
    if differing:
        has = {k: getattr(opened.config, k) for k in differing}
        raise CheckpointError(f"{opened.source.weights} has {has}, but the call asks for {differing}: leave them out.")
    task = options.get("task") or ("encoder" if opened.task in _PRETRAINING else opened.task)
    cell = load.from_checkpoint(opened, task, num_labels=options.get("num_labels"), dtype=options.get("dtype"))
    table = next(table for table in names.TABLES if table.name == opened.origin)
    _rename(cell, table, opened.file_names)
    return cell


def _from_card_name(name: str, options: Mapping[str, Any]) -> nn.Cell:
    if name.lower() not in HUB_CARDS:
        raise ConfigError(f"{unknown('model name', name, HUB_CARDS)} No card of this name lies beside it either.")
    fields = {k: v for k, v in options.items() if k not in _OPTIONS or k == "use_relative_positions"}
    config = BertConfig.from_dict({**_ZOO_DEFAULTS, **HUB_CARDS[name.lower()], **fields}, source=f"card '{name}'")
    cell = load.from_config(
        config, options.get("task") or "encoder", num_labels=options.get("num_labels"), dtype=options.get("dtype")
    )
    _rename(cell, names.MODEL_ZOO, {})
    return cell


def _rename(cell: nn.Cell, table: names.NameTable, file_names: Mapping[str, str]) -> None:
    """Give every parameter the name it has in the file, or would have in a file of this origin."""
    paths = {names.without_encoder(path): parameter for path, parameter in cell.parameters_and_names()}
    usual = table.names_of(paths)
    for name, parameter in paths.items():
        parameter.name = file_names.get(name, usual[name].name)


def _check_length(config: BertConfig, seq_length: int | None) -> None:
    longest = config.max_sequence_length
    if seq_length is not None and longest is not None and seq_length > longest:
        raise ConfigError(
            f"seq_length {seq_length} is more than the network's {longest} positions: use shorter windows."
        )
