"""The encoder as a whole: embeddings, layers, pooler."""

from __future__ import annotations

from functools import partial

import mindspore as ms
from mindspore import Tensor, nn, ops

from bert_ms.config import INT8, BertConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.kernels.deferred import Deferring
from bert_ms.kernels.ops import Activation, FirstToken, is_known
from bert_ms.model.embeddings import Embeddings
from bert_ms.model.encoder import Encoder, sites_per_layer
from bert_ms.model.layers import DTYPES, Dense
from bert_ms.model.whole import whole_encoder

EXTRA_OUTPUTS = ("hidden_states", "attentions")


class Pooler(nn.Cell):
    """tanh(Dense(hidden state of the first token)): [B, S, H] -> [B, H]."""

    def __init__(self, config: BertConfig, *, dtype: ms.dtype = ms.float32):
        super().__init__()
        self.dense = Dense(config.hidden_size, config.hidden_size, std=config.initializer_range, dtype=dtype)
        self.first_token = FirstToken()
        self.activate = Activation("tanh")

    def construct(self, hidden_BSH: Tensor) -> Tensor:
        return self.activate(self.dense(self.first_token(hidden_BSH)))


class BertModel(Deferring):
    """BERT or NEZHA without a head.

    Args:
        config: the architecture.
        dtype: "float32", "float16" or "bfloat16", of matrix products and hidden states; parameters, LayerNorm and
            softmax are float32.

    Attributes:
        config: as given.
        next_site: the first dropout number that a head may use.
        is_rounded: its layers have 8-bit weights, see `bert_ms.model.rounding`; there are no others left.
    """

    is_rounded = False

    def __init__(self, config: BertConfig, *, dtype: str = "float32"):
        super().__init__()
        if dtype == INT8:
            raise ConfigError(
                "dtype is int8, which rounds weights that are loaded (bert_ms.from_pretrained(source, dtype='int8')): "
                "draw new ones in float32."
            )
        if dtype not in DTYPES:
            raise ConfigError(unknown("dtype", dtype, (*DTYPES, INT8)))
        self.config, self.dtype_name, self.longest = config, dtype, config.max_sequence_length
        self.next_site = 1 + sites_per_layer(config) * config.num_hidden_layers
        self.embeddings = Embeddings(config, site=0, dtype=DTYPES[dtype])
        self.encoder = Encoder(config, first_site=1, dtype=DTYPES[dtype])
        self.has_pooler = config.add_pooler
        if self.has_pooler:
            self.pooler = Pooler(config, dtype=DTYPES[dtype])
        self.has_hidden_states = False
        self.has_attentions = False
        self.parameters_changed()

    def parameters_changed(self) -> None:
        """To be called when other parameters than before are computed with; new values alone change nothing.

        Raises:
            ConfigError: the layers are rounded.
        """
        self.check_exact()
        self.defer(whole=partial(whole_encoder, self))

    def check_exact(self) -> None:
        """See that the layers have their float32 weights.

        Raises:
            ConfigError: they were rounded.
        """
        if self.is_rounded:
            raise ConfigError(
                "a network of dtype int8 has given up the float32 weights of its layers: load it anew without dtype."
            )

    def set_outputs(self, *names: str) -> BertModel:
        """Choose what `construct` returns after the pooled output; compiled graphs are made anew.

        Args:
            names: of "hidden_states" (L + 1 tensors [B, S, H]) and "attentions" (L tensors [B, N, S, T]).

        Raises:
            ConfigError: a name is unknown, or there is no such output of rounded layers.
        """
        for name in names:
            if name not in EXTRA_OUTPUTS:
                raise ConfigError(unknown("output", name, EXTRA_OUTPUTS))
        if names and self.is_rounded:
            raise ConfigError(
                f"{' and '.join(names)} are asked for, and a network of dtype int8 gives the last layer alone: use "
                "float32."
            )
        self.has_hidden_states, self.has_attentions = "hidden_states" in names, "attentions" in names
        for layer in self.encoder.layers:
            layer.attention.has_probs = self.has_attentions
        self.compile_cache.clear()
        return self

    def construct(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> tuple:
        """Vectors of each token and of the whole.

        Args:
            input_ids: int32 [B, S].
            attention_mask: int32 [B, S] (or [B, S, S], one mask a query), 1 for tokens, 0 for padding; None for all 1.
            token_type_ids: int32 [B, S]; None for all 0.
            dropout_key: int32 [2], (seed, step) that dropout masks are derived from in training; None leaves them to
                MindSpore's generator.

        Returns:
            last_hidden_state [B, S, H]; pooled_output [B, H], if the network has a pooler; then a tuple for each
            output chosen by `set_outputs`.

        Raises:
            ValueError: S is more than the network has positions for, or not the same in all inputs.
        """
        return self.run(input_ids, attention_mask, token_type_ids, dropout_key)

    def run(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        dropout_key: Tensor | None,
        encoder_hidden_BTH: Tensor | None = None,
        encoder_mask: Tensor | None = None,
    ) -> tuple:
        """`construct`, with what a decoder attends to in another encoder."""
        if attention_mask is None:
            attention_mask = ops.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = ops.zeros_like(input_ids)
        if is_known(input_ids.shape):
            self.check(input_ids, attention_mask, token_type_ids)
        is_plain = not self.has_hidden_states and not self.has_attentions and encoder_hidden_BTH is None
        hidden_states, attentions = (), ()
        if is_plain and self.whole is not None and self.whole.serves(input_ids, attention_mask, token_type_ids):
            hidden_BSH = self.whole(input_ids, attention_mask, token_type_ids)
        else:
            embedded_BSH = self.embeddings(input_ids, token_type_ids, dropout_key)
            hidden_BSH, hidden_states, attentions = self.encoder(
                embedded_BSH, attention_mask, dropout_key, encoder_hidden_BTH, encoder_mask
            )
        outputs: tuple = (hidden_BSH,)
        if self.has_pooler:
            outputs = (*outputs, self.pooler(hidden_BSH))
        if self.has_hidden_states:
            outputs = (*outputs, hidden_states)
        if self.has_attentions:
            outputs = (*outputs, attentions)
        return outputs

    def check(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> None:
        """Raise what `construct` says; of shapes that are known only when the graph runs, the operators check."""
        length = input_ids.shape[1]
        if self.longest is not None and length > self.longest:
            raise ValueError(f"input_ids are longer than max_position_embeddings {self.longest}: use shorter windows.")
        if token_type_ids.shape != input_ids.shape or attention_mask.shape[-1] != length:
            raise ValueError(
                "attention_mask or token_type_ids do not have the shape of input_ids: all are [B, S], "
                "the mask perhaps [B, S, S]."
            )


class CrossBertModel(BertModel):
    """A decoder without a head that attends to another encoder: a `BertModel` of a config with `add_cross_attention`.

    Its further inputs come after the three fixed ones.
    """

    def construct(  # type: ignore[override]
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        dropout_key: Tensor | None = None,
    ) -> tuple:
        """Vectors of each token; arguments not named here, outputs and errors are `BertModel`'s.

        Args:
            encoder_hidden_states: [B, T, H], the other encoder's; None leaves cross attention out.
            encoder_attention_mask: int32 [B, T] (or [B, S, T]), 1 for its tokens, 0 for padding; None for all 1.
        """
        return self.run(
            input_ids, attention_mask, token_type_ids, dropout_key, encoder_hidden_states, encoder_attention_mask
        )
