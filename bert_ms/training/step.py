"""One optimiser step for every task: forward, gradients, reduce, unscale, check, clip, update, all in one graph."""

from __future__ import annotations

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from bert_ms.training.gradients import AdversarialGradients, Gradients
from bert_ms.training.optimizers import Optimizer, native_operator


class TrainStep(nn.Cell):
    """A micro-batch's loss and gradients and, with the last one of an update, the update itself.

    Gradients of `accumulate` micro-batches are averaged, also over devices, unscaled, clipped by their global norm and
    given to the optimiser. The norm also tells whether they are finite: with a loss scale, a step whose norm is not
    changes nothing. Without one there is no check in the graph; the host must look at the norm.

    Args:
        network: (*batch[, dropout_key]) -> float32 scalar loss.
        optimizer: whose `parameters` learn.
        max_grad_norm: global norm that gradients are clipped to; None does not clip.
        accumulate: micro-batches of one update.
        has_scale: multiply the loss by a scale and skip updates that overflow.
        has_dropout_key: give the network the key as its last argument.
        fgm_epsilon: length of an adversarial step on the word embeddings, see `AdversarialGradients`; 0 for none. With
            it, `optimizer` must not be native.
        reducer: averages gradients over devices; None for one device.

    Source: clipping by global norm, Pascanu et al. 2013, in the form of tf.clip_by_global_norm.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: Optimizer,
        *,
        max_grad_norm: float | None = 1.0,
        accumulate: int = 1,
        has_scale: bool = False,
        has_dropout_key: bool = True,
        fgm_epsilon: float = 0.0,
        reducer: nn.Cell | None = None,
    ):
        super().__init__(auto_prefix=False)  # else wrapping would rename the network's parameters
        assert fgm_epsilon == 0 or not optimizer.may_be_native, "the native update would change a copy of the weights"
        self.optimizer, self.reducer = optimizer, reducer
        self.max_grad_norm, self.accumulate, self.has_scale = max_grad_norm, accumulate, has_scale
        # With groups, trainable_params() has another order than the optimiser.
        of, keys = (network, optimizer.parameters), {"has_scale": has_scale, "has_dropout_key": has_dropout_key}
        self.differentiate = (
            AdversarialGradients(*of, epsilon=fgm_epsilon, **keys) if fgm_epsilon > 0 else Gradients(*of, **keys)
        )
        self.sums = optimizer.parameters.clone("accumulated", "zeros") if accumulate > 1 else ParameterTuple(())
        self.map, self.total = ops.HyperMap(), ops.AddN()
        self.add, self.assign, self.zeros = ops.AssignAdd(), ops.Assign(), ops.ZerosLike()
        self.native_norm = native_operator("global_norm")
        self.reshape, self.product, self.sqrt = ops.Reshape(), ops.MatMul(transpose_b=True), ops.Sqrt()
        self.maximum, self.is_finite = ops.Maximum(), ops.IsFinite()
        self.true = Tensor(True)

    def construct(
        self, is_last: Tensor, dropout_key: Tensor, scale: Tensor, numbers: Tensor, *batch: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One micro-batch.

        Args:
            is_last: bool scalar, whether this micro-batch ends an update; always true when `accumulate` is 1.
            dropout_key: int32 [2] = (seed, micro-step).
            scale: float32 scalar, the loss scale.
            numbers: float32 [K] from the optimiser's `numbers`.
            batch: int32 or float32 [B, ...]: inputs and labels.

        Returns:
            loss: float32 scalar, of this micro-batch, unscaled.
            grad_norm: float32 scalar, global norm before clipping; 0 for a micro-batch that is not the last.
            applied: bool scalar, false when the update was skipped because gradients were not finite.
        """
        loss, gradients = self.differentiate(scale, dropout_key, *batch)
        if self.accumulate == 1:
            norm, applied = self.apply(scale, numbers, gradients)
            return loss, norm, applied
        loss = ops.depend(loss, self.map(self.add, self.sums, gradients))
        norm, applied = ops.zeros_like(loss), self.true
        if is_last:
            norm, applied = self.apply(scale, numbers, self.sums)
            norm = ops.depend(norm, self.map(ops.partial(self.clear, norm, applied), self.sums))
        return loss, norm, applied

    def apply(self, scale: Tensor, numbers: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Reduce, measure, clip, update."""
        if self.reducer is not None:
            gradients = self.reducer(gradients)
        factor = 1.0 / scale / self.accumulate
        norm = self.global_norm(gradients) * factor
        if self.max_grad_norm is not None:
            factor = factor * (self.max_grad_norm / self.maximum(norm, self.max_grad_norm))
        # Native updates change weights in place, which MindSpore does not know: the whole backward pass comes before.
        factor = ops.depend(factor, norm)
        if not self.has_scale:
            return ops.depend(norm, self.optimizer(numbers, factor, *gradients)), self.true
        applied = self.is_finite(norm)
        if applied:
            norm = ops.depend(norm, self.optimizer(numbers, factor, *gradients))
        return norm, applied

    def global_norm(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Root of the sum of all squares."""
        if self.native_norm is not None:
            return self.reshape(self.native_norm(*gradients), ())
        return self.sqrt(self.total(self.map(self.square_sum, gradients)))

    def square_sum(self, gradient: Tensor) -> Tensor:
        """Sum of squares: on a CPU, a row times itself is twice as fast as squaring and adding up, and more exact."""
        row = self.reshape(gradient, (1, -1))
        return self.reshape(self.product(row, row), ())

    def clear(self, norm: Tensor, applied: Tensor, buffer: Parameter) -> Tensor:
        """Set a sum to 0, after the update."""
        return self.assign(buffer, ops.depend(self.zeros(buffer), (norm, applied)))
