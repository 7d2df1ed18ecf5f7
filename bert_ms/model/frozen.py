"""Sparing the work for gradients that nobody needs."""

from __future__ import annotations

from collections.abc import Collection

from mindspore import nn

from bert_ms.model.encoder import EncoderLayer
from bert_ms.model.layers import Dense, NormParameters


def spare_frozen_gradients(network: nn.Cell, learning: Collection[str]) -> None:
    """Tell the fused layers which of their weights learn; the others' gradients are 0 from now on.

    Plain operators need no telling: MindSpore leaves out what is not asked for. Call it before the graph of the
    gradients is compiled, for every set of parameters that is differentiated by.

    Args:
        network: with any number of encoder layers.
        learning: names of the parameters that are differentiated by.
    """
    for _, layer in network.cells_and_names():
        if isinstance(layer, EncoderLayer) and layer.fused is not None:
            layer.fused.freeze([is_frozen for part in layer.parts() for is_frozen in _frozen(part, learning)])


def _frozen(part: Dense | NormParameters, learning: Collection[str]) -> tuple[bool, bool]:
    """Of weight and bias. An adapter learns by the weight's gradient."""
    has_adapter = isinstance(part, Dense) and part.adapter is not None
    return part.weight.name not in learning and not has_adapter, part.bias.name not in learning
