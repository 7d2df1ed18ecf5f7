"""LoRA adapters of a network: add, save, load, merge."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bert_ms import checkpoint
from bert_ms.config import LoraConfig
from bert_ms.errors import ConfigError

if TYPE_CHECKING:
    from mindspore import nn


def add_adapter(
    cell: nn.Cell,
    *,
    rank: int = 8,
    lora_alpha: float = 16.0,
    targets: Sequence[str] = LoraConfig.targets,
    train: Sequence[str] = (),
    seed: int = 0,
) -> nn.Cell:
    """Give a network low-rank adapters and freeze the rest of its encoder; it computes what it did before.

    Args:
        cell: a network with a task head, which goes on learning.
        rank: of the products.
        lora_alpha: the products are scaled by lora_alpha / rank.
        targets: patterns of weights of dense layers that get an adapter.
        train: patterns of parameters that learn as well.
        seed: of the adapters' first values.

    Returns:
        The same Cell, whose `trainable_params()` are now what learns.

    Raises:
        ConfigError: a pattern matches nothing, a number cannot be used, or there are adapters already.
    """
    from bert_ms.model import lora

    if rank < 1:
        raise ConfigError(f"rank is {rank}: expected at least 1.")
    LoraConfig(rank=rank, lora_alpha=lora_alpha, targets=tuple(targets), train=tuple(train))
    lora.add_adapters(cell, targets, rank=rank, lora_alpha=lora_alpha, seed=seed)
    report = getattr(cell, "load_report", None)
    lora.freeze_all_but_adapters(cell, also=train, new=report.initialised if report is not None else ())
    return cell


def save_adapter(cell: nn.Cell, directory: str | os.PathLike[str], *, base: str = "") -> Path:
    """Write a network's adapters, and the head that learned beside them, as PEFT's files.

    Args:
        cell: with adapters.
        directory: gets `adapter_config.json` and `adapter_model.safetensors`.
        base: name or path of the weights that the adapters belong to, for people and for PEFT.

    Returns:
        The directory.

    Raises:
        CheckpointError: there are no adapters, or the directory cannot be written.
    """
    return checkpoint.write_adapter(cell, directory, base=base)


def load_adapter(cell: nn.Cell, directory: str | os.PathLike[str]) -> nn.Cell:
    """Give a network the adapters of a directory, of ours or of PEFT.

    Args:
        cell: with the weights that the adapters were learned on.
        directory: with `adapter_config.json` and `adapter_model.safetensors`.

    Returns:
        The same Cell, which now computes with them; `merge_adapter` makes it a plain network again.

    Raises:
        CheckpointError: the files are broken, of another kind, or of another network; nothing is changed then.
        ConfigError: there are adapters already.
    """
    checkpoint.put_adapter(cell, checkpoint.read_adapter(directory))
    return cell


def merge_adapter(cell: nn.Cell) -> nn.Cell:
    """Add the adapters to the weights that they stand beside; the Cell is then one like any other.

    Args:
        cell: with adapters; without any nothing happens.

    Returns:
        The same Cell.
    """
    from bert_ms.model import lora

    lora.merge_adapters(cell)
    return cell
