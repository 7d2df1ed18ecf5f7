"""The encoder in evaluation as a handful of native operators, over the parameters that its Cells have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import Parameter, ParameterTuple, Tensor, nn

from bert_ms.kernels.native_encoder import Encoder
from bert_ms.model.layers import Dense

if TYPE_CHECKING:
    from bert_ms.model.bert import BertModel


class WholeEncoder(nn.Cell):
    """Embeddings and layers of an encoder, computed at once.

    It is made for the parameters that the encoder has at that moment; a Cell of its own must not own them, for their
    names are the encoder's.

    Args:
        bert: see `whole_encoder`.
    """

    def __init__(self, bert: BertModel):
        super().__init__(auto_prefix=False)
        config, embeddings = bert.config, bert.embeddings
        self.native = Encoder(
            config.num_attention_heads,
            config.hidden_act,
            config.layer_norm_eps,
            has_positions=config.has_absolute_positions,
            padding_id=config.pad_token_id,
        )
        types = embeddings.token_type_embeddings.weight
        positions = embeddings.position_embeddings.weight if config.has_absolute_positions else types
        norm = embeddings.layer_norm
        self._share("embeddings", [embeddings.word_embeddings.weight, types, positions, norm.weight, norm.bias])
        parts = [part for layer in bert.encoder.layers for part in layer.parts()]
        self._share("layers", [parameter for part in parts for parameter in (part.weight, part.bias)])

    def _share(self, name: str, parameters: list[Parameter]) -> None:
        """Have parameters without owning them, as `nn.Cell` would by plain assignment."""
        object.__setattr__(self, name, ParameterTuple(parameters))

    def serves(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> bool:
        """See `Encoder`."""
        return self.native.serves(input_ids, attention_mask, token_type_ids)

    def construct(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        return self.native(input_ids, attention_mask, token_type_ids, self.embeddings, self.layers)


def whole_encoder(bert: BertModel) -> WholeEncoder | None:
    """The encoder at once, where native operators serve all its layers as their parameters are; else None."""
    layers = bert.encoder.layers
    if bert.config.add_cross_attention or any(layer.fused is None for layer in layers):
        return None
    has_adapters = any(isinstance(part, Dense) and part.adapter for layer in layers for part in layer.parts())
    return None if has_adapters else WholeEncoder(bert)
