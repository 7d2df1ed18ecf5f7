"""The operators that the networks are built from: native on a CPU where that is possible, plain MindSpore elsewhere.

All are parameterless Cells: weights come as arguments, so that checkpoint names stay the network's own.
Whether the native form is used is decided when the Cell is built (see `bert_ms.kernels.enabled`) and, in it, by the
input: only float32 is native, and of shapes that are known only when the graph runs, only what a graph of evaluation
needs. Dropout acts in training mode only (`set_train`).

A layer is fastest as QueryKeyValue -> Attention -> Linear -> DropoutResidualLayerNorm -> FeedForward ->
DropoutResidualLayerNorm: the native matrix products take in biases and activations and need no slicing or transposing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.ops.functional import is_sequence_value_unknown

from bert_ms.kernels import crf_twin, native, native_encoder, twins
from bert_ms.kernels.switch import enabled


def is_known(shape: tuple[int, ...]) -> bool:
    """Whether all of a shape is known when the graph is compiled."""
    return not is_sequence_value_unknown(shape)


def takes(x: Tensor) -> bool:
    """Whether native operators take x: float32, of a shape that is known when the graph is compiled."""
    return x.dtype == ms.float32 and is_known(x.shape)


def takes_any(x: Tensor, is_training: bool) -> bool:
    """`takes` for an operator that has no need of the shape while it is compiled, unless its gradient is wanted."""
    return x.dtype == ms.float32 and (not is_training or is_known(x.shape))


class Activation(nn.Cell):
    """An activation function: gelu (erf form), gelu_tanh, fast_gelu, relu, silu, tanh, sigmoid, mish.

    Raises:
        ConfigError: there is no activation of that name.
    """

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.twin = twins.activation(name)
        self.native = native.Activation(name) if enabled() else None

    def construct(self, x: Tensor) -> Tensor:
        """Args: x of any shape. Returns: the same shape and dtype."""
        if self.native is not None and takes_any(x, self.training):
            return self.native(x)
        return self.twin(x)


class Linear(nn.Cell):
    """activation(x weight^T + bias): the dense layer, its bias and its activation in one operator.

    Args:
        name: an activation of `Activation`, or identity.
    """

    def __init__(self, name: str = "identity"):
        super().__init__(auto_prefix=False)
        self.twin = twins.Linear(name)
        self.native = native.Linear(name) if enabled() else None

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Args: x [..., I]; weight [O, I]; bias [O]. Returns: [..., O]."""
        if self.native is not None and takes_any(x, self.training) and weight.dtype == ms.float32:
            return self.native(x, weight, bias)
        return self.twin(x, weight, bias)


class QueryKeyValue(nn.Cell):
    """Three dense layers of one input, whose preparation they share."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.twin = twins.QueryKeyValue()
        self.native = native.QueryKeyValue() if enabled() else None

    def construct(
        self, x: Tensor, wq: Tensor, bq: Tensor, wk: Tensor, bk: Tensor, wv: Tensor, bv: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Args: x [..., H]; each weight [O, H], bias [O]. Returns: query, key, value, each [..., O]."""
        if self.native is not None and takes(x) and wq.dtype == ms.float32:
            return self.native(x, wq, bq, wk, bk, wv, bv)
        return self.twin(x, wq, bq, wk, bk, wv, bv)


class FeedForward(nn.Cell):
    """activation(x w1^T + b1) w2^T + b2: a layer's feed-forward block, which keeps one wide activation instead of two.

    Args:
        name: an activation of `Activation`.
    """

    def __init__(self, name: str):
        super().__init__(auto_prefix=False)
        self.twin = twins.FeedForward(name)
        self.native = native.FeedForward(name) if enabled() else None
        self.lean = native.LeanFeedForward(name) if enabled() else None

    def construct(self, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        """Args: x [..., H]; w1 [I, H]; b1 [I]; w2 [O, I]; b2 [O]. Returns: [..., O]."""
        if self.native is not None and self.lean is not None and takes(x) and w1.dtype == ms.float32:
            if self.training:
                y, _ = self.native(x, w1, b1, w2, b2)
                return y
            return self.lean(x, w1, b1, w2, b2)
        return self.twin(x, w1, b1, w2, b2)


class LayerNormOp(nn.Cell):
    """LayerNorm over the last axis, computed in float32. Source: Ba, Kiros and Hinton 2016.

    Args:
        eps: added to the variance.
    """

    def __init__(self, eps: float):
        super().__init__(auto_prefix=False)
        self.twin = twins.LayerNorm(eps)
        self.native = native.LayerNorm(eps, False) if enabled() else None

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Args: x [..., H]; weight, bias [H]. Returns: [..., H] in x's dtype."""
        if self.native is not None and takes_any(x, self.training) and weight.dtype == ms.float32:
            return self.native(x, bias, weight, bias)  # the second is not looked at
        return self.twin(x, weight, bias)


class ResidualLayerNorm(nn.Cell):
    """LayerNorm(x + residual).

    Args:
        eps: added to the variance.
    """

    def __init__(self, eps: float):
        super().__init__(auto_prefix=False)
        self.twin = twins.LayerNorm(eps)
        self.native = native.LayerNorm(eps, True) if enabled() else None

    def construct(self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Args: x, residual [..., H]; weight, bias [H]. Returns: [..., H] in x's dtype."""
        if self.native is not None and takes(x) and residual.dtype == ms.float32:
            return self.native(x, residual, weight, bias)
        return self.twin(x + residual, weight, bias)


class Dropout(nn.Cell):
    """Dropout whose mask is a pure function of (seed, step, site, element index).

    Args:
        p: probability of dropping an element, in [0, 1).
        site: number of this dropout in the network; every site needs its own.
    """

    def __init__(self, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.p = p
        self.twin = twins.Dropout(p, site)
        self.native = native.Dropout(p, site) if enabled() else None

    def construct(self, x: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        """Args: x of any shape; dropout_key int32 [2] = (seed, step), or None for MindSpore's own generator.

        Returns: x in evaluation; in training, x with dropped elements 0 and kept ones divided by 1 - p.
        """
        if not self.training or self.p == 0.0:
            return x
        if self.native is not None and dropout_key is not None and takes(x):
            return self.native(x, dropout_key)
        return self.twin(x, dropout_key)


class DropoutResidualLayerNorm(nn.Cell):
    """LayerNorm(dropout(x) + residual): what follows each block of a layer.

    Args:
        eps: added to the variance.
        p: probability of dropping an element of x, in [0, 1).
        site: number of this dropout in the network.
    """

    def __init__(self, eps: float, p: float, site: int):
        super().__init__(auto_prefix=False)
        self.p = p
        self.dropout = Dropout(p, site)
        self.norm = ResidualLayerNorm(eps)
        self.native = native.DropoutResidualLayerNorm(eps, p, site) if enabled() else None

    def construct(
        self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, dropout_key: Tensor | None = None
    ) -> Tensor:
        """Args: x, residual [..., H]; weight, bias [H]; dropout_key as in `Dropout`. Returns: [..., H]."""
        drops = self.training and self.p > 0.0 and dropout_key is not None
        if self.native is not None and drops and takes(x) and residual.dtype == ms.float32:
            return self.native(x, residual, weight, bias, dropout_key)
        return self.norm(self.dropout(x, dropout_key), residual, weight, bias)


class Attention(nn.Cell):
    """Scaled dot-product attention with padding mask, float32 softmax and dropout of probabilities.

    A row whose keys are all masked attends to all of them equally, as in Hugging Face's models.

    Args:
        num_heads: heads N; they lie side by side in the last axis, each D = H / N wide.
        dropout_p: probability of dropping an attention probability, in [0, 1).
        site: number of this dropout in the network.
        scale: factor of the scores; None is 1 / sqrt(D).
    """

    def __init__(self, num_heads: int, dropout_p: float = 0.0, site: int = 0, scale: float | None = None):
        super().__init__(auto_prefix=False)
        self.p = dropout_p
        self.twin = twins.Attention(num_heads, dropout_p, site, scale)
        self.natives = _attentions(num_heads, dropout_p, site, scale) if enabled() else None
        self.no_key = Tensor(native.NO_KEY)

    def construct(
        self,
        query_BSH: Tensor,
        key_BTH: Tensor,
        value_BTH: Tensor,
        attention_mask_BT: Tensor,
        dropout_key: Tensor | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            query_BSH: [B, S, H].
            key_BTH: [B, T, H].
            value_BTH: [B, T, H].
            attention_mask_BT: int32 [B, T], 1 for keys to look at and 0 for padding; or float32, added to the scores.
            dropout_key: int32 [2] = (seed, step), or None for MindSpore's own generator.

        Returns:
            Context [B, S, H].
        """
        drops = self.training and self.p > 0.0
        if self.natives is not None and takes(query_BSH) and (dropout_key is not None or not drops):
            attend = self.natives[2 * int(drops) + int(attention_mask_BT.dtype == ms.int32)]
            return attend(query_BSH, key_BTH, value_BTH, attention_mask_BT, dropout_key if drops else self.no_key)
        return self.twin(query_BSH, key_BTH, value_BTH, attention_mask_BT, dropout_key)


def _attentions(num_heads: int, p: float, site: int, scale: float | None) -> nn.CellList:
    """Native attention without and with dropout, each with float and with integer mask."""
    dropouts = (native.NO_DROPOUT, native.dropout_constants(p, site))
    return nn.CellList(
        [native.Attention(num_heads, dropout, scale, is_int) for dropout in dropouts for is_int in (False, True)]
    )


class FirstToken(nn.Cell):
    """The first token's vector of each row."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.native = native_encoder.FirstToken() if enabled() else None

    def construct(self, x: Tensor) -> Tensor:
        """Args: x [B, S, H]. Returns: [B, H]."""
        if self.native is not None and takes_any(x, self.training):
            return self.native(x)
        return x[:, 0]


class TokensAt(nn.Cell):
    """The vectors of a few tokens of each row."""

    def __init__(self) -> None:
        super().__init__(auto_prefix=False)
        self.native = native_encoder.TokensAt() if enabled() else None

    def construct(self, x: Tensor, positions_BP: Tensor) -> Tensor:
        """Args: x [B, S, H]; positions int32 [B, P], each in [0, S). Returns: [B, P, H]."""
        if self.native is not None and takes_any(x, self.training) and positions_BP.dtype == ms.int32:
            return self.native(x, positions_BP)
        B, S, H = x.shape
        first_B1 = ops.reshape(ops.arange(0, B * S, S, dtype=ms.int32), (B, 1))
        rows_RH = ops.gather(ops.reshape(x, (B * S, H)), ops.reshape(positions_BP + first_B1, (-1,)), 0)
        return ops.reshape(rows_RH, (B, -1, H))


class CrfLoss(nn.Cell):
    """Negative log-likelihood of labelled paths through a linear-chain CRF, in one pass forth and back.

    Args:
        states: number C of states, of which START and STOP are the last two.

    Source: Lafferty, McCallum and Pereira 2001; Lample et al. 2016, section 2.2.
    """

    def __init__(self, states: int):
        super().__init__(auto_prefix=False)
        self.twin = crf_twin.CrfLoss(states)
        self.native = native.CrfLoss() if enabled() else None

    def construct(self, logits_BSC: Tensor, transitions_CC: Tensor, labels_BS: Tensor) -> Tensor:
        """Score.

        Args:
            logits_BSC: float32 [B, S, C].
            transitions_CC: float32 [C, C], [to, from].
            labels_BS: int32 [B, S]; -100 where the path is not.

        Returns:
            float32 [B], 0 for a row without a path.
        """
        if self.native is not None and takes(logits_BSC) and labels_BS.dtype == ms.int32:
            return self.native(logits_BSC, transitions_CC, labels_BS)[0]
        return self.twin(logits_BSC, transitions_CC, labels_BS)


class NativeEncoderLayer(nn.Cell):
    """A Transformer layer as one operator, from hidden state to hidden state, for inputs that it `serves`.

    It makes MindSpore's graph a tenth as large as the operators above. To be made only where native operators are
    enabled; `bert_ms.model.encoder` has the plain form.

    Args:
        num_heads: heads N of the attention.
        name: an activation of `Activation`.
        eps: of both LayerNorms.
        dropout_p: probability of dropping an element of either block's output, in [0, 1).
        attention_dropout_p: probability of dropping an attention probability, in [0, 1).
        site: first of three dropout numbers: probabilities, attention output, feed-forward output.
        scale: factor of the scores; None is 1 / sqrt(D).

    Source: Vaswani et al. 2017, section 3, with LayerNorm after each block as in Devlin et al. 2019.
    """

    def __init__(
        self,
        num_heads: int,
        name: str,
        eps: float,
        *,
        dropout_p: float = 0.0,
        attention_dropout_p: float = 0.0,
        site: int = 0,
        scale: float | None = None,
    ):
        super().__init__(auto_prefix=False)
        self.has_dropout = dropout_p > 0 or attention_dropout_p > 0
        drops = [native.dropout_constants(p, site + i) for i, p in enumerate((attention_dropout_p, *[dropout_p] * 2))]
        common = (num_heads, name, eps, scale)
        self.constants = partial(native.layer_constants, *common, drops, True)
        self.kept = native.EncoderLayer(self.constants())
        self.lean = native.LeanEncoderLayer(native.layer_constants(*common, [native.NO_DROPOUT] * 3, True))
        self.no_key = Tensor(native.NO_KEY)

    def freeze(self, frozen: Sequence[bool]) -> None:
        """Spare the gradients of weights that do not learn: in training they are 0 from now on, and cost no time.

        Args:
            frozen: one for each of the sixteen weights, in their order. Those of the LayerNorms and graphs that are
                compiled already do not heed it.
        """
        self.kept.meta = self.constants(sum(1 << k for k, is_frozen in enumerate(frozen) if is_frozen))

    def serves(self, x: Tensor, attention_mask_BT: Tensor, dropout_key: Tensor | None) -> bool:
        """Whether the native form computes the layer for these inputs."""
        if self.training and self.has_dropout and dropout_key is None:
            return False
        return takes(x) and attention_mask_BT.dtype == ms.int32

    def construct(self, x: Tensor, attention_mask_BT: Tensor, dropout_key: Tensor | None, *weights: Tensor) -> Tensor:
        """Run the layer.

        Args:
            x: [B, S, H].
            attention_mask_BT: int32 [B, S], 1 for keys to look at and 0 for padding.
            dropout_key: int32 [2] = (seed, step), or None for MindSpore's own generator.
            weights: weight and bias of query, key, value [H, H], of the attention's dense layer [H, H], of its
                LayerNorm [H], of the feed-forward block's [I, H] and [H, I], of the last LayerNorm [H]: sixteen.

        Returns:
            [B, S, H].
        """
        if not self.training:
            return self.lean(x, attention_mask_BT, self.no_key, weights)
        return self.kept(x, attention_mask_BT, self.no_key if dropout_key is None else dropout_key, weights)[0]
