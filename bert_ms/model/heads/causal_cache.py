"""A causal language model that remembers keys and values, so that each new word costs one position."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from bert_ms.errors import ConfigError, DataError
from bert_ms.model.attention import MASKED
from bert_ms.model.encoder import EncoderLayer
from bert_ms.model.heads.language_model import CausalLM

_SMALLEST = 8


class CachedCausalLM(nn.Cell):
    """The network of a `CausalLM` over a part of the positions, with the keys and values of all.

    Prompts are padded on the left, so that all rows write to the same places. One graph reads a prompt, another one
    word; both are of static shape.

    Args:
        network: shares its parameters, under its own names.
    """

    def __init__(self, network: CausalLM):
        super().__init__(auto_prefix=False)
        self.network, self.layers = network, len(network.bert.encoder.layers)
        self.embeddings = network.bert.embeddings
        self.positions = network.config.max_position_embeddings

    def construct(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        starts: Tensor,
        first: Tensor,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        """Read Q positions.

        Args:
            input_ids: int32 [B, Q].
            token_type_ids: int32 [B, Q].
            starts: int32 [B], the place of each row's first token.
            first: int32 scalar, the place of the first of these positions; 0 where Q is more than 1.
            rest: keys, then values, of each layer, [B, N, T, D]; for a decoder with cross attention then
                encoder_hidden_states [B, E, H] and encoder_attention_mask int32 [B, E].

        Returns:
            Logits float32 [B, V] of the word after the last position; then keys and values as they are now.
        """
        Q, T = input_ids.shape[1], rest[0].shape[2]
        place_Q, place_T = ops.arange(0, Q, 1, dtype=ms.int32) + first, ops.arange(0, T, 1, dtype=ms.int32)
        start_B11 = ops.reshape(starts, (-1, 1, 1))
        is_before_1QT = ops.expand_dims(ops.expand_dims(place_T, 0) <= ops.expand_dims(place_Q, 1), 0)
        keep_BQT = ops.logical_and(is_before_1QT, ops.reshape(place_T, (1, 1, T)) >= start_B11)
        mask_B1QT = ops.expand_dims((1.0 - ops.cast(keep_BQT, ms.float32)) * MASKED, 1)
        hidden_BQH = self.embed(input_ids, token_type_ids, ops.expand_dims(place_Q, 0) - ops.reshape(starts, (-1, 1)))
        is_here_11T1 = ops.reshape(place_T == first, (1, 1, T, 1))
        encoder = rest[2 * self.layers :]
        keys: tuple = ()
        values: tuple = ()
        for i, layer in enumerate(self.network.bert.encoder.layers):
            past = (rest[i], rest[self.layers + i])
            hidden_BQH, key, value = self.step(layer, hidden_BQH, past, mask_B1QT, is_here_11T1, first, encoder)
            keys, values = (*keys, key), (*values, value)
        table_VH = self.embeddings.word_embeddings.weight
        return (self.network.predictions(hidden_BQH[:, -1], table_VH), *keys, *values)

    def embed(self, input_ids: Tensor, token_type_ids: Tensor, position_BQ: Tensor) -> Tensor:
        """What `Embeddings` does, at given positions."""
        parts = self.embeddings
        hidden_BQH = parts.word_embeddings(input_ids) + parts.token_type_embeddings(token_type_ids)
        if parts.has_positions:
            # Places before a row's start and beyond its end, which nobody looks at, have some position, too.
            hidden_BQH = hidden_BQH + parts.position_embeddings(ops.clip_by_value(position_BQ, 0, self.positions - 1))
        return ops.cast(parts.normalise(hidden_BQH, parts.layer_norm.weight, parts.layer_norm.bias), parts.dtype)

    def step(
        self,
        layer: EncoderLayer,
        hidden_BQH: Tensor,
        past: tuple[Tensor, Tensor],
        mask_B1QT: Tensor,
        is_here_11T1: Tensor,
        first: Tensor,
        encoder: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer: its output, and keys and values with those of these positions."""
        block = layer.attention
        query_BQH, key_BQH, value_BQH = block.project(
            ops.cast(hidden_BQH, block.dtype), *block.query.weights(), *block.key.weights(), *block.value.weights()
        )
        split = block.composed.split
        key_BNTD = self.written(past[0], split(key_BQH), is_here_11T1)
        value_BNTD = self.written(past[1], split(value_BQH), is_here_11T1)
        context_BQH, _ = block.composed.attend(split(query_BQH), key_BNTD, value_BNTD, mask_B1QT, None, first)
        hidden_BQH = block.finish(
            block.output(context_BQH), hidden_BQH, block.layer_norm.weight, block.layer_norm.bias, None
        )
        if layer.cross_attention is not None and len(encoder) > 0:
            hidden_BQH = layer.cross_attention(hidden_BQH, encoder[0], encoder[1])
        return layer.feed_forward(hidden_BQH), key_BNTD, value_BNTD

    def written(self, past_BNTD: Tensor, new_BNQD: Tensor, is_here_11T1: Tensor) -> Tensor:
        """The past with new positions: a prompt's at its begin, a word's at its place."""
        if new_BNQD.shape[2] > 1:
            return ops.concat((new_BNQD, past_BNTD[:, :, new_BNQD.shape[2] :]), 2)
        new_BNTD = ops.broadcast_to(new_BNQD, past_BNTD.shape)
        return ops.select(ops.broadcast_to(is_here_11T1, past_BNTD.shape), new_BNTD, past_BNTD)


class CausalSteps:
    """A `CausalLM` asked word by word, with numpy on both sides; what `bert_ms.decoding.generation` walks on.

    Prompts and places are padded to a power of two, so that few graphs are compiled.

    Args:
        network: the language model; it is set to evaluation.

    Raises:
        ConfigError: it is no causal language model.
    """

    def __init__(self, network: nn.Cell):
        if not isinstance(network, CausalLM):
            raise ConfigError(f"{type(network).__name__} foresees no next word: give a network of task causal-lm.")
        self.config = network.config
        self.cell = CachedCausalLM(network).set_train(False)
        self.cache: tuple[Tensor, ...] = ()
        self.source: tuple[Tensor, ...] = ()  # the encoder's, as given; `encoder` has a row for each row of the cache
        self.encoder: tuple[Tensor, ...] = ()

    def attend_to(
        self, encoder_hidden_states: np.ndarray | None, encoder_attention_mask: np.ndarray | None = None
    ) -> None:
        """Set what a decoder with cross attention reads from the next `start` on; None for nothing.

        Args:
            encoder_hidden_states: float [B, E, H], a row for each prompt.
            encoder_attention_mask: int [B, E]; None for all tokens.

        Raises:
            ConfigError: the network has no cross attention.
        """
        if encoder_hidden_states is None:
            self.source = ()
            return
        if not self.config.add_cross_attention:
            raise ConfigError("the network has no cross attention: leave encoder_hidden_states out.")
        states = np.asarray(encoder_hidden_states, np.float32)
        mask = np.ones(states.shape[:2]) if encoder_attention_mask is None else np.asarray(encoder_attention_mask)
        self.source = (Tensor(states), Tensor(mask.astype(np.int32)))

    def start(self, input_ids: np.ndarray, starts: np.ndarray, token_type_ids: np.ndarray, capacity: int) -> np.ndarray:
        """Read prompts, padded on the left: logits [B, V] of the word after each; see `decoding.generation.Steps`.

        Raises:
            DataError: there are not as many rows of encoder_hidden_states as prompts.
        """
        rows, width = input_ids.shape
        if self.source and self.source[0].shape[0] != rows:
            found = self.source[0].shape[0]
            raise DataError(f"encoder_hidden_states has {found} rows for {rows} prompts: give one for each.")
        self.encoder = self.source
        added = _bucket(width) - width
        config = self.config
        self.place, self.starts = width + added, (starts + added).astype(np.int32)
        self.types = token_type_ids[:, -1].astype(np.int32)
        shape = (rows, config.num_attention_heads, _bucket(capacity + added), config.head_size)
        empty = ops.zeros(shape, self.cell.network.bert.encoder.layers[0].attention.dtype)
        self.cache = (empty,) * (2 * config.num_hidden_layers)
        ids, types = (np.pad(a.astype(np.int32), ((0, 0), (added, 0))) for a in (input_ids, token_type_ids))
        return self._run(ids, types, 0)

    def advance(self, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        """Read one word in each row, which continues the row `parents` of before: logits [R, V]."""
        if not np.array_equal(parents, np.arange(len(self.starts))):
            rows = Tensor(parents.astype(np.int32))
            self.cache = tuple(ops.gather(one, rows, 0) for one in self.cache)
            self.encoder = tuple(ops.gather(one, rows, 0) for one in self.encoder)
            self.starts, self.types = self.starts[parents], self.types[parents]
        logits = self._run(tokens.astype(np.int32)[:, None], self.types[:, None], self.place)
        self.place += 1
        return logits

    def _run(self, ids: np.ndarray, types: np.ndarray, first: int) -> np.ndarray:
        given = (Tensor(ids), Tensor(types), Tensor(self.starts), Tensor(first, ms.int32))
        logits, *cache = self.cell(*given, *self.cache, *self.encoder)
        self.cache = tuple(cache)
        return logits.asnumpy()


def _bucket(length: int) -> int:
    """The next power of two, at least 8."""
    return max(_SMALLEST, 1 << (length - 1).bit_length())
