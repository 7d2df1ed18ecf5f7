"""Networks whose encoder answers with products of 8-bit integers."""

from __future__ import annotations

import gc
import logging
from typing import Any

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn

from bert_ms import kernels
from bert_ms.config import INT8, BertConfig, no_int8
from bert_ms.errors import ConfigError
from bert_ms.kernels.int8_weights import layer_arrays
from bert_ms.kernels.native_int8 import Int8Layers
from bert_ms.kernels.switch import has_int8_unit
from bert_ms.model.bert import BertModel
from bert_ms.model.build import HEADS
from bert_ms.model.whole import WholeEncoder

logger = logging.getLogger(__name__)

_ARRAYS = ("panels", "columns", "norms")  # of each layer


def check_rounding(config: BertConfig, task: str | None = None) -> None:
    """Refuse what `round_to_int8` refuses of a network and of this process, before weights are read.

    Args:
        config: of the network.
        task: that it is for; None where the configuration says all.

    Raises:
        ConfigError: its attention is not the plain one (relative positions, a decoder, cross attention).
        DeviceError: native operators are not used: the device is not a CPU, they are switched off, or there is no
            compiler.
    """
    objection = config.int8_objection()
    if objection is None and task in HEADS and HEADS[task].is_decoder:
        objection = f"{task} is for a decoder"
    if objection:
        raise no_int8(objection)
    if not kernels.enabled():
        raise kernels.no_int8()


def round_to_int8(network: nn.Cell) -> nn.Cell:
    """Round the weights of a network's layers to 8 bits, for answers of this process.

    Products of dense layers are of integers from then on: each output of a weight has its factor, and so has each token
    that it is multiplied with, measured when it is there. Attention, LayerNorm, activations, embeddings and the head
    stay float32. The float32 weights of the layers are given up: the network cannot be trained, saved or exported, nor
    return hidden states of several layers or attentions.

    Args:
        network: with its weights in float32, in evaluation mode; what was compiled of it is compiled anew.

    Returns:
        The same network.

    Raises:
        ConfigError: it has no encoder, one that `check_rounding` refuses, adapters, or further outputs; it is in
            training mode, of another dtype, or rounded already.
        DeviceError: see `check_rounding`.
    """
    bert: Any = network if isinstance(network, BertModel) else getattr(network, "bert", None)
    if not isinstance(bert, BertModel):
        raise ConfigError(f"dtype int8 is for networks with an encoder, not for {type(network).__name__}.")
    problem = _problem(network, bert)
    if problem:
        raise ConfigError(f"{type(network).__name__} cannot be rounded to int8: {problem}.")
    check_rounding(bert.config)
    if bert.whole is None:
        raise ConfigError(
            f"{type(network).__name__} cannot be rounded to int8: it was built without native operators, or has "
            "adapters: build it where they are used, and merge adapters (bert_ms.merge_adapter) first."
        )
    if not has_int8_unit():
        logger.warning("this processor has no instructions for products of bytes (VNNI): int8 is slower than float32.")
    bert.settle(whole=Int8Encoder(bert))
    bert.encoder, bert.is_rounded = GivenUp(), True
    for cell in (network, bert):  # graphs of the network as it was
        cell.compile_cache.clear()
    gc.collect()
    return network


def count_parameters(network: nn.Cell) -> int:
    """Numbers in a network; of rounded layers those that they were made of."""
    rounded = [cell for _, cell in network.cells_and_names() if isinstance(cell, Int8Encoder)]
    theirs = {id(parameter) for cell in rounded for parameter in cell.weights}
    others = sum(parameter.size for parameter in network.get_parameters() if id(parameter) not in theirs)
    return others + sum(cell.count for cell in rounded)


class Int8Encoder(nn.Cell):
    """Embeddings in float32 and all layers in 8 bits, made of the weights that an encoder has now.

    Args:
        bert: the encoder.

    Attributes:
        count: numbers in the layers before they were rounded.
    """

    def __init__(self, bert: BertModel):
        super().__init__(auto_prefix=False)
        config, exact = bert.config, bert.whole
        assert isinstance(exact, WholeEncoder)
        self.embeddings = exact.native.embeddings
        object.__setattr__(self, "tables", exact.embeddings)  # the encoder's own parameters, by their names
        self.layers = Int8Layers(
            config.num_attention_heads, config.hidden_act, config.intermediate_size, config.layer_norm_eps
        )
        self.count = sum(parameter.size for parameter in exact.layers)
        self.weights = ParameterTuple(
            Parameter(Tensor(array), name=f"{INT8}.{i}.{name}", requires_grad=False)
            for i, layer in enumerate(bert.encoder.layers)
            for name, array in zip(_ARRAYS, layer_arrays(_parameters(layer)), strict=True)
        )

    def add_flags_recursive(self, **flags: Any) -> Int8Encoder:
        """What `set_train` ends in.

        Raises:
            ConfigError: it asks for training mode.
        """
        if flags.get("training"):
            raise ConfigError(
                "a network of dtype int8 answers, and cannot be trained: load the same weights in float32 (leave dtype "
                "out)."
            )
        found: Int8Encoder = super().add_flags_recursive(**flags)
        return found

    def serves(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> bool:
        """It has to: there is no other form left.

        Raises:
            ValueError: the inputs are not int32 [B, S].
        """
        if attention_mask.ndim != 2:
            raise ValueError(
                "attention_mask is [B, S, S], and a network of dtype int8 takes one mask a row [B, S]: use float32."
            )
        if not (input_ids.dtype == attention_mask.dtype == token_type_ids.dtype == ms.int32):
            raise ValueError("a network of dtype int8 takes int32 input_ids, attention_mask, token_type_ids.")
        return True

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        hidden_BSH = self.embeddings(input_ids, token_type_ids, self.tables)
        return self.layers(hidden_BSH, attention_mask, self.weights)


class GivenUp(nn.Cell):
    """Where float32 layers were."""

    layers = ()


def _problem(network: nn.Cell, bert: BertModel) -> str | None:
    """Why this network, as it is now, cannot be rounded."""
    if bert.is_rounded:
        return "it is rounded already"
    if network.training or bert.training:
        return "it is in training mode, where the weights are to change: set_train(False) first"
    if bert.dtype_name != "float32":
        return f"it computes in {bert.dtype_name}: build it in float32"
    if bert.has_hidden_states or bert.has_attentions:
        return "it gives hidden states or attentions of every layer: set_outputs() first, with no names"
    return None


def _parameters(layer: Any) -> list[Any]:
    return [parameter.asnumpy() for part in layer.parts() for parameter in (part.weight, part.bias)]
