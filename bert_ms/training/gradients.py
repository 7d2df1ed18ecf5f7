"""Loss and gradients of one micro-batch: as they are, or with those of an adversarial step on the word embeddings."""

from __future__ import annotations

import mindspore as ms
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.common.initializer import Zero, initializer

from bert_ms.errors import ConfigError
from bert_ms.model.embeddings import EmbeddingLookup, Embeddings

_LEAST_NORM = 1e-30


class Gradients(nn.Cell):
    """One pass forward and backward.

    Args:
        network: (*batch[, dropout_key]) -> float32 scalar loss.
        parameters: to differentiate by.
        has_scale: multiply the loss by a scale before it is differentiated.
        has_dropout_key: give the network the key as its last argument.
    """

    def __init__(self, network: nn.Cell, parameters: ParameterTuple, *, has_scale: bool, has_dropout_key: bool):
        super().__init__(auto_prefix=False)  # else wrapping would rename the network's parameters
        self.network, self.has_scale, self.has_dropout_key = network, has_scale, has_dropout_key
        self.value_and_grad = ms.value_and_grad(self.scaled_loss, None, parameters, has_aux=True)

    def construct(self, scale: Tensor, dropout_key: Tensor, *batch: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss, unscaled, and a gradient, of the scaled one, for each parameter."""
        (_, loss), gradients = self.value_and_grad(scale, dropout_key, *batch)
        return loss, gradients

    def scaled_loss(self, scale: Tensor, dropout_key: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """What is differentiated, and the plain loss beside it."""
        loss = self.network(*batch, dropout_key) if self.has_dropout_key else self.network(*batch)
        return (loss * scale, loss) if self.has_scale else (loss, loss)


class AdversarialGradients(Gradients):
    """The gradients, plus those at word embeddings that are moved to where the loss grows fastest (FGM).

    The step has the direction of the word table's gradient and the length epsilon. It is kept beside the table and
    added to what is looked up, in training only: the weights themselves, which a tied decoder also reads, stay as they
    are. Both passes have the same dropout masks; the loss given back is that of the first.

    Args:
        network: with one `Embeddings` Cell somewhere in it, whose lookup of words is wrapped.
        parameters: to differentiate by.
        epsilon: length of the step.
        has_scale: as in `Gradients`.
        has_dropout_key: as in `Gradients`.

    Source: Miyato et al. 2017, equations 2 and 3, in the form that is usual for BERT: one step on the table for the
        whole micro-batch, where the paper takes one on each text's looked-up vectors.
    """

    def __init__(
        self,
        network: nn.Cell,
        parameters: ParameterTuple,
        *,
        epsilon: float,
        has_scale: bool,
        has_dropout_key: bool,
    ):
        words = word_lookup(network)
        shift = Parameter(initializer(Zero(), words.weight.shape, ms.float32), "adversarial_shift", requires_grad=False)
        words.lookup = _Shifted(words.lookup, shift)
        super().__init__(
            network, ParameterTuple((*parameters, shift)), has_scale=has_scale, has_dropout_key=has_dropout_key
        )
        self.shift, self.epsilon = shift, epsilon
        self.assign, self.map, self.add = ops.Assign(), ops.HyperMap(), ops.Add()

    def construct(self, scale: Tensor, dropout_key: Tensor, *batch: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Loss of the first pass, and the sum of both passes' gradients."""
        self.assign(self.shift, ops.zeros_like(self.shift))
        (_, loss), gradients = self.value_and_grad(scale, dropout_key, *batch)
        self.assign(self.shift, self.step(gradients[-1]))
        _, adversarial = self.value_and_grad(scale, dropout_key, *batch)
        return loss, self.map(self.add, gradients[:-1], adversarial[:-1])

    def step(self, gradient_VH: Tensor) -> Tensor:
        """The gradient with the length epsilon; 0 where it is 0."""
        norm = ops.sqrt(ops.reduce_sum(gradient_VH * gradient_VH))
        return gradient_VH * (self.epsilon / ops.maximum(norm, Tensor(_LEAST_NORM, ms.float32)))


class _Shifted(nn.Cell):
    """A lookup of words with what the shift adds to them.

    Args:
        lookup: (table, ids) -> vectors.
        shift: of the table's shape. It is kept in a tuple, where MindSpore does not count it among the network's
            parameters: it is no part of the network.
    """

    def __init__(self, lookup: nn.Cell, shift: Parameter):
        super().__init__(auto_prefix=False)
        self.lookup, self.shifts = lookup, (shift,)

    def construct(self, table_VH: Tensor, ids: Tensor) -> Tensor:
        if self.training:
            return self.lookup(table_VH, ids) + self.lookup(self.shifts[0], ids)
        return self.lookup(table_VH, ids)


def word_lookup(network: nn.Cell) -> EmbeddingLookup:
    """The lookup of words in a network.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found = [cell.word_embeddings for _, cell in network.cells_and_names() if isinstance(cell, Embeddings)]
    if len(found) != 1:
        raise ConfigError(
            f"regularization.fgm_epsilon moves word embeddings, and {type(network).__name__} has {len(found)} tables "
            f"of them: it works for networks with one encoder."
        )
    return found[0]
