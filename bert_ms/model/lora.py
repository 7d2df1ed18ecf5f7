"""Low-rank adapters (LoRA): a small product that is learned beside the weight of a dense layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from bert_ms.errors import ConfigError, nearest
from bert_ms.model.bert import BertModel
from bert_ms.model.layers import Dense

ENCODER_PREFIX = "bert."  # where there is a head
ENCODER_PARTS = ("embeddings.", "encoder.", "pooler.")


class LowRank(nn.Cell):
    """weight + scale * B A, which stands for the weight in whatever operator takes it.

    With B = 0 at first, the network starts as it was.

    Args:
        in_size: width of the layer's input.
        out_size: width of its output.
        rank: of the product.
        scale: of the product; lora_alpha / rank.
        random: that A is drawn by.

    Shapes: weight [out_size, in_size]; lora_A [rank, in_size]; lora_B [out_size, rank].
    Source: Hu et al. 2021, section 4.1; A's initial values, Microsoft's `loralib` (uniform up to 1 / sqrt(in_size)).
    """

    def __init__(self, in_size: int, out_size: int, *, rank: int, scale: float, random: np.random.Generator):
        super().__init__()
        limit = 1 / math.sqrt(in_size)
        first = random.uniform(-limit, limit, (rank, in_size)).astype(np.float32)
        self.rank, self.scale = rank, scale
        self.lora_A = Parameter(Tensor(first))
        self.lora_B = Parameter(Tensor(np.zeros((out_size, rank), np.float32)))
        self.product = ops.MatMul()

    def construct(self, weight_OI: Tensor) -> Tensor:
        return weight_OI + self.product(self.lora_B, self.lora_A) * self.scale

    def merged(self, weight_OI: np.ndarray) -> np.ndarray:
        """What `construct` gives, in numpy."""
        return weight_OI + np.float32(self.scale) * (self.lora_B.asnumpy() @ self.lora_A.asnumpy())


def dense_layers(network: nn.Cell) -> dict[str, Dense]:
    """Every dense layer of a network by its path."""
    return {path: cell for path, cell in network.cells_and_names() if isinstance(cell, Dense)}


def adapters(network: nn.Cell) -> dict[str, LowRank]:
    """The adapters of a network by the path of their layer."""
    layers = dense_layers(network)
    return {path: layer.adapter for path, layer in layers.items() if isinstance(layer.adapter, LowRank)}


def add_adapters(
    network: nn.Cell, targets: Sequence[str], *, rank: int, lora_alpha: float, scale: float | None = None, seed: int = 0
) -> tuple[str, ...]:
    """Give the weights of dense layers an adapter each; graphs that were compiled are made anew.

    Args:
        network: that is changed.
        targets: patterns of weights, with or without the `bert.` of an encoder under a head.
        rank: of the products.
        lora_alpha: the products are scaled by lora_alpha / rank.
        scale: of the products, where it is not that.
        seed: of the first values; the same for the same network.

    Returns:
        The names of the weights.

    Raises:
        ConfigError: a pattern matches no dense layer's weight, there are adapters already, or the network is of dtype
            int8.
    """
    for bert in _encoders(network):
        bert.check_exact()
    if adapters(network):
        raise ConfigError("this network has adapters: merge them (bert_ms.merge_adapter) before others are added.")
    layers = {f"{path}.weight": layer for path, layer in dense_layers(network).items()}
    chosen = [name for name in layers if any(_matches(name, pattern) for pattern in targets)]
    problems = [_no_match(p, list(layers)) for p in targets if not any(_matches(name, p) for name in layers)]
    if problems:
        raise ConfigError(problems)
    random = np.random.default_rng(seed)
    for name in chosen:
        layer, scaled = layers[name], lora_alpha / rank if scale is None else scale
        layer.adapter = LowRank(layer.in_size, layer.out_size, rank=rank, scale=scaled, random=random)
        for part, parameter in layer.adapter.parameters_and_names():  # a name has to be the whole path
            parameter.name = f"{name.removesuffix('.weight')}.adapter.{part}"
    _compute_anew(network)
    return tuple(chosen)


def merge_adapters(network: nn.Cell) -> None:
    """Add each adapter's product to its weight, and take the adapter away."""
    layers, found = dense_layers(network), adapters(network)
    if not found:
        return
    for path, adapter in found.items():
        layer = layers[path]
        layer.weight.set_data(Tensor(adapter.merged(layer.weight.asnumpy())))
        layer.adapter = None
    _compute_anew(network)


def _compute_anew(network: nn.Cell) -> None:
    """Forget the graphs, and what was made for the parameters before."""
    for bert in _encoders(network):
        bert.parameters_changed()
    network.compile_cache.clear()


def _encoders(network: nn.Cell) -> list[BertModel]:
    return [cell for _, cell in network.cells_and_names() if isinstance(cell, BertModel)]


def freeze_all_but_adapters(network: nn.Cell, *, also: Sequence[str] = (), new: Sequence[str] = ()) -> None:
    """Let only the adapters and the task's head learn.

    Args:
        network: with adapters.
        also: patterns of parameters that learn as well.
        new: bare names of parameters that were made anew and therefore must learn.

    Raises:
        ConfigError: a pattern matches no parameter.
    """
    parameters: Mapping[str, Parameter] = {p.name: p for p in network.get_parameters()}
    problems = [
        _no_match(p, list(parameters), "lora.train") for p in also if not any(_matches(n, p) for n in parameters)
    ]
    if problems:
        raise ConfigError(problems)
    for name, parameter in parameters.items():
        bare = name.removeprefix(ENCODER_PREFIX)
        is_head, is_new = not bare.startswith(ENCODER_PARTS), bare in new
        is_chosen = any(_matches(name, pattern) for pattern in also)
        parameter.requires_grad = is_head or is_new or is_chosen or ".adapter." in name


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.removeprefix(ENCODER_PREFIX), pattern)


def _no_match(pattern: str, names: Sequence[str], key: str = "lora.targets") -> str:
    guess = nearest(pattern.replace("*", ""), names) or names[0]
    return (
        f"{key} pattern '{pattern}' matches none of the {len(names)} names that can be: one of them is '{guess}'. "
        f"'*' stands for any characters."
    )
