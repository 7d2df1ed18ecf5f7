"""Networks whose encoder answers with products of 8-bit integers."""

from __future__ import annotations

import gc
import logging
from typing import Any

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn

from bert_ms.errors import ConfigError, DeviceError
from bert_ms.kernels import enabled
from bert_ms.kernels.int8_weights import layer_arrays
from bert_ms.kernels.native_int8 import Int8Layers, has_int8_unit
from bert_ms.model.bert import BertModel
from bert_ms.model.whole import WholeEncoder

logger = logging.getLogger(__name__)

INT8 = "int8"
_ARRAYS = ("panels", "columns", "norms")  # of each layer


def round_to_int8(network: nn.Cell) -> nn.Cell:
    """Round the weights of a network's layers to 8 bits, for answers of this process.

    Products of dense layers are of integers from then on: each output of a weight has its factor, and so has each token
    that it is multiplied with, measured when it is there. Attention, LayerNorm, activations, embeddings and the head
    stay float32. The float32 weights of the layers are given up: the network cannot be trained, saved or exported, nor
    return hidden states of several layers or attentions.

    Args:
        network: a network with its weights, in evaluation mode.

    Returns:
        The same network.

    Raises:
        ConfigError: its attention is not the plain one (relative positions, a decoder), or it has adapters.
        DeviceError: the device is not a CPU, or native operators are not enabled.
    """
    bert: Any = network if isinstance(network, BertModel) else getattr(network, "bert", None)
    if not isinstance(bert, BertModel):
        raise ConfigError(f"dtype int8 is for networks with an encoder, not for {type(network).__name__}.")
    if not enabled():
        raise DeviceError(
            "dtype int8 needs the native operators of a CPU, which are not enabled here (bert-ms env says why): use "
            "float32, or an ONNX file (bert-ms export --quantize dynamic)."
        )
    if bert.whole is None:
        raise ConfigError(
            "dtype int8 is for encoders with absolute positions and without adapters, and this one is a decoder or has "
            "relative positions, cross attention or adapters: use float32."
        )
    if not has_int8_unit():
        logger.warning("this processor has no instructions for products of bytes (VNNI): int8 is slower than float32.")
    bert.settle(whole=Int8Encoder(bert))
    bert.encoder = GivenUp()
    gc.collect()
    return network


class Int8Encoder(nn.Cell):
    """Embeddings in float32 and all layers in 8 bits, made of the weights that an encoder has now.

    Args:
        bert: the encoder.
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
        self.weights = ParameterTuple(
            Parameter(Tensor(array), name=f"int8.{i}.{name}", requires_grad=False)
            for i, layer in enumerate(bert.encoder.layers)
            for name, array in zip(_ARRAYS, layer_arrays(_parameters(layer)), strict=True)
        )

    def serves(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> bool:
        """It has to: there is no other form left.

        Raises:
            ValueError: the inputs are not int32 [B, S], or the network is in training mode.
        """
        is_int = input_ids.dtype == attention_mask.dtype == token_type_ids.dtype == ms.int32
        if self.training or attention_mask.ndim != 2 or not is_int:
            raise ValueError("a network of dtype int8 answers int32 input_ids, attention_mask, token_type_ids [B, S].")
        return True

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        hidden_BSH = self.embeddings(input_ids, token_type_ids, self.tables)
        return self.layers(hidden_BSH, attention_mask, self.weights)


class GivenUp(nn.Cell):
    """Where float32 layers were."""

    layers = ()


def _parameters(layer: Any) -> list[Any]:
    return [parameter.asnumpy() for part in layer.parts() for parameter in (part.weight, part.bias)]
