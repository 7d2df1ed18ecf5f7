"""A BiLSTM over the hidden states of tokens, read as if padding were not there."""

from __future__ import annotations

import math

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Uniform, initializer

from bert_ms.config import BertConfig


class BiLstm(nn.Cell):
    """Two LSTMs, one that reads the tokens from the left and one that reads them from the right.

    Tokens are moved to the front of their row before each LSTM and back to their places after it, so that positions
    masked anywhere (padding, holes) neither are read nor change what is remembered. Each LSTM is one operator for all
    positions (oneDNN's on a CPU), in float32.

    Args:
        config: of the network, with `has_lstm`.

    Attributes:
        weight_ih_l0 (and `weight_ih_l0_reverse`, of the LSTM from the right): float32 [4W, H], of the gates input,
            forget, cell, output.
        weight_hh_l0: float32 [4W, W].
        bias_ih_l0: float32 [4W], added to bias_hh_l0, as in every peer.

    Source: Hochreiter and Schmidhuber 1997; Huang, Xu and Yu 2015; names of PyTorch's and MindSpore's `nn.LSTM`.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        W, H = config.lstm_width, config.hidden_size
        self.width = W
        self.weight_ih_l0, self.weight_ih_l0_reverse = _uniform(W, 4 * W, H), _uniform(W, 4 * W, H)
        self.weight_hh_l0, self.weight_hh_l0_reverse = _uniform(W, 4 * W, W), _uniform(W, 4 * W, W)
        self.bias_ih_l0, self.bias_ih_l0_reverse = _uniform(W, 4 * W), _uniform(W, 4 * W)
        self.bias_hh_l0, self.bias_hh_l0_reverse = _uniform(W, 4 * W), _uniform(W, 4 * W)
        # The part of nn.LSTM that chooses the device's operator and takes its weights as arguments.
        self.run = nn.LSTM(1, 1).rnn

    def construct(self, hidden_BSH: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What both LSTMs remember at each token.

        Args:
            hidden_BSH: [B, S, H].
            attention_mask: int32 [B, S], 0 for positions to leave out; None for all tokens.

        Returns:
            float32 [B, S, 2W], from the left and from the right; 0 where the mask is.

        Raises:
            ValueError: the mask is one for each query, which does not tell tokens from padding.
        """
        if attention_mask is None:
            attention_mask = ops.ones(hidden_BSH.shape[:2], ms.int32)
        if attention_mask.ndim != 2:
            raise ValueError("a BiLSTM needs attention_mask [B, S]: one mask a query does not tell which are tokens.")
        hidden_BSH = ops.cast(hidden_BSH, ms.float32)
        rank_BS, length_B1 = token_ranks(attention_mask)
        back_BS = ops.select(rank_BS < length_B1, length_B1 - 1 - rank_BS, rank_BS)
        left = (self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0)
        right = (
            self.weight_ih_l0_reverse, self.weight_hh_l0_reverse, self.bias_ih_l0_reverse, self.bias_hh_l0_reverse,
        )  # fmt: skip
        both_BSV = ops.concat((self.read(hidden_BSH, rank_BS, left), self.read(hidden_BSH, back_BS, right)), -1)
        return both_BSV * ops.expand_dims(ops.cast(attention_mask != 0, ms.float32), -1)

    def read(self, hidden_BSH: Tensor, rank_BS: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        """One LSTM over each row in the order of its ranks, [B, S, W] at the row's own places."""
        B, S, H = hidden_BSH.shape
        row_B1 = ops.reshape(ops.arange(0, B, 1, dtype=ms.int32), (B, 1))
        turn_R = ops.reshape(rank_BS * B + row_B1, (-1,))  # where each position stands in [S, B]
        place_R = ops.tensor_scatter_elements(turn_R, turn_R, ops.arange(0, B * S, 1, dtype=ms.int32))
        turned_SBH = ops.reshape(ops.gather(ops.reshape(hidden_BSH, (B * S, H)), place_R, 0), (S, B, H))
        nothing_BW = ops.zeros((B, self.width), ms.float32)
        memory_SBW, _ = self.run(turned_SBH, (nothing_BW, nothing_BW), None, *weights)
        memory_RW = ops.reshape(memory_SBW, (S * B, self.width))
        return ops.reshape(ops.gather(memory_RW, turn_R, 0), (B, S, self.width))


def token_ranks(attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Place of each position when the row's tokens come first, int32 [B, S], and the number of tokens, int32 [B, 1].

    Both kinds keep their order; masked positions follow the tokens.
    """
    is_token_BS = ops.cast(attention_mask != 0, ms.int32)
    length_B1 = ops.cast(ops.cast(is_token_BS, ms.float32).sum(1, keepdims=True), ms.int32)
    among_BS = ops.cumsum(is_token_BS, 1) - 1
    place_S = ops.arange(0, attention_mask.shape[1], 1, dtype=ms.int32)
    return ops.select(is_token_BS > 0, among_BS, length_B1 + place_S - among_BS - 1), length_B1


def _uniform(width: int, *shape: int) -> Parameter:
    """Drawn from +-1 / sqrt(width). Source: `nn.LSTM` of PyTorch and of MindSpore."""
    return Parameter(initializer(Uniform(1.0 / math.sqrt(width)), list(shape), ms.float32))
