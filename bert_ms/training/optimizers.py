"""AdamW, Lamb and Momentum as Cells, whose changing numbers come from the host with every update."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from bert_ms import kernels
from bert_ms.config.run import OptimizerConfig
from bert_ms.errors import ConfigError, unknown
from bert_ms.training.groups import ParameterGroup

MAX_TRUST_RATIO = 10.0


class Optimizer(nn.Cell):
    """What every optimiser has: parameters in groups, slots beside them, numbers from the host.

    Learning rate, bias correction and weight decay are computed on the host in float64 by `numbers` and enter the graph
    as one float32 tensor. So a resumed run gets exactly the same numbers, and a changed rate never compiles anew.

    Args:
        parameters: all that learn, by name.
        groups: from `parameter_groups`; together they hold each of `parameters` once.
        config: the optimiser's constants.
        native: use the native operator where there is one. It changes weights in place, which MindSpore does not know:
            in a graph that also assigns to what the forward pass reads, it would change a copy of them.

    Attributes:
        parameters: in the order in which gradients must come.
        slots: by slot name, Parameters as `parameters` has them.
    """

    slot_names: tuple[str, ...] = ()

    def __init__(
        self,
        parameters: dict[str, Parameter],
        groups: Sequence[ParameterGroup],
        config: OptimizerConfig,
        *,
        native: bool = True,
    ):
        super().__init__(auto_prefix=False)
        self.config, self.may_be_native = config, native
        self.groups = tuple(groups)
        ordered = [parameters[name] for group in groups for name in group.names]
        if len({id(p) for p in ordered}) != len(ordered):
            raise ConfigError("parameter groups overlap: each parameter can be in one group only.")
        self.parameters = ParameterTuple(ordered)
        self.names = tuple(name for group in groups for name in group.names)
        self.slots = {slot: self.parameters.clone(slot, "zeros") for slot in self.slot_names}
        sizes = np.cumsum([0, *(len(group.names) for group in groups)]).tolist()
        self.ranges = tuple(pairwise(sizes))
        # A slice of a ParameterTuple and HyperMap compile in a tenth of the time of a loop over 400 parameters.
        self.grouped = tuple(
            tuple(ParameterTuple(values[start:end]) for values in (self.parameters, *self.slots.values()))
            for start, end in self.ranges
        )
        self.map = ops.HyperMap()

    def numbers(self, learning_rate: float, update: int) -> np.ndarray:
        """What `construct` needs to know about this update.

        Args:
            learning_rate: of the schedule, before the groups' factors.
            update: 1 for the first update that changes weights, and so on; skipped steps do not count.

        Returns:
            float32 [K].
        """
        raise NotImplementedError

    def construct(self, numbers: Tensor, factor: Tensor, *gradients: Tensor) -> Tensor:
        """Change the parameters.

        Args:
            numbers: float32 [K] from `numbers`.
            factor: float32 scalar that every gradient is multiplied by (clipping and unscaling).
            gradients: one for each of `parameters`, in their order.

        Returns:
            A tensor that depends on all updates.
        """
        raise NotImplementedError

    def _decay(self, group: ParameterGroup) -> float:
        return self.config.weight_decay if group.has_decay else 0.0


class AdamW(Optimizer):
    """Adam with decoupled weight decay, fused: a native operator for a group on a CPU, MindSpore's for each parameter.

    These operators, `m / (sqrt(v) + eps) + decay * p` times a rate, know no bias correction. With rate `lr * c2 / c1`,
    eps `eps * c2` and decay `decay * c1 / c2`, where `c1 = 1 - beta1**t` and `c2 = sqrt(1 - beta2**t)`, they compute
    exactly the corrected update.

    Source: Loshchilov and Hutter 2019, algorithm 2; without bias correction, google-research/bert optimization.py.
    """

    slot_names = ("adam_m", "adam_v")

    def __init__(
        self,
        parameters: dict[str, Parameter],
        groups: Sequence[ParameterGroup],
        config: OptimizerConfig,
        *,
        native: bool = True,
    ):
        super().__init__(parameters, groups, config, native=native)
        # What the operator computes with: the difference of 1 - beta2 to float64 is far above rounding.
        self.beta1, self.beta2 = (float(np.float32(beta)) for beta in config.betas)
        self.update = ops.AdamWeightDecay()
        self.native = native_operator("adamw") if self.may_be_native else None
        self.betas = Tensor(np.asarray(config.betas, np.float32))

    def numbers(self, learning_rate: float, update: int) -> np.ndarray:
        correction1, correction2 = 1.0, 1.0
        if self.config.bias_correction:
            correction1, correction2 = 1 - self.beta1**update, np.sqrt(1 - self.beta2**update)
        ratio = correction2 / correction1
        rates = [learning_rate * ratio * group.factor for group in self.groups]
        decays = [self._decay(group) / ratio for group in self.groups]
        return np.asarray([self.config.eps * correction2, *rates, *decays], np.float32)

    def construct(self, numbers: Tensor, factor: Tensor, *gradients: Tensor) -> Tensor:
        count = len(self.ranges)
        done = ()
        for g in range(count):
            start, end = self.ranges[g]
            eps, rate, decay = numbers[0], numbers[1 + g], numbers[1 + count + g]
            if self.native is not None:
                p, m, v = self.grouped[g]
                done += (self.native(factor, eps, rate, decay, self.betas, *p, *gradients[start:end], *m, *v),)  # type: ignore[assignment]
            else:
                one = ops.partial(self.one, factor, eps, rate, decay)
                done += self.map(one, *self.grouped[g], gradients[start:end])
        return ops.depend(factor, done)

    def one(
        self, factor: Tensor, eps: Tensor, rate: Tensor, decay: Tensor,
        p: Parameter, m: Parameter, v: Parameter, gradient: Tensor,
    ) -> Tensor:  # fmt: skip
        """Update one parameter."""
        return self.update(p, m, v, rate, self.beta1, self.beta2, eps, decay, gradient * factor)


class Lamb(Optimizer):
    """Adam's update, scaled for each parameter by the ratio of the weights' norm to the update's.

    The ratio is clipped to [0, 10] and is 1 where either norm is 0. LayerNorm weights and biases, which have no weight
    decay, are not scaled.

    Source: You et al. 2020, algorithm 2; the clipping and what is left out, huawei-noah NEZHA's pretraining.
    """

    slot_names = ("lamb_m", "lamb_v")

    def __init__(
        self,
        parameters: dict[str, Parameter],
        groups: Sequence[ParameterGroup],
        config: OptimizerConfig,
        *,
        native: bool = True,
    ):
        super().__init__(parameters, groups, config, native=native)
        self.beta1, self.beta2 = (float(np.float32(beta)) for beta in config.betas)
        self.one_minus_beta1, self.one_minus_beta2 = 1 - self.beta1, 1 - self.beta2
        self.total, self.assign, self.sqrt = ops.ReduceSum(), ops.Assign(), ops.Sqrt()
        self.minimum, self.select = ops.Minimum(), ops.Select()
        self.unit = Tensor(1.0, ms.float32)

    def numbers(self, learning_rate: float, update: int) -> np.ndarray:
        correction1, correction2 = 1.0, 1.0
        if self.config.bias_correction:
            correction1, correction2 = 1 - self.beta1**update, np.sqrt(1 - self.beta2**update)
        rates = [learning_rate * group.factor for group in self.groups]
        decays = [self._decay(group) for group in self.groups]
        fixed = [0.0 if group.has_decay else 1.0 for group in self.groups]
        return np.asarray([self.config.eps, 1 / correction1, 1 / correction2, *rates, *decays, *fixed], np.float32)

    def construct(self, numbers: Tensor, factor: Tensor, *gradients: Tensor) -> Tensor:
        count = len(self.ranges)
        done = ()
        for g in range(count):
            start, end = self.ranges[g]
            is_fixed = numbers[3 + 2 * count + g] > 0
            one = ops.partial(
                self.one, factor, numbers[0], numbers[1], numbers[2], numbers[3 + g], numbers[3 + count + g], is_fixed
            )
            done += self.map(one, *self.grouped[g], gradients[start:end])
        return ops.depend(factor, done)

    def one(
        self, factor: Tensor, eps: Tensor, scale_m: Tensor, scale_root: Tensor, rate: Tensor, decay: Tensor,
        is_fixed: Tensor, p: Parameter, m: Parameter, v: Parameter, gradient: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Update one parameter."""
        gradient = gradient * factor
        new_m = m * self.beta1 + gradient * self.one_minus_beta1
        new_v = v * self.beta2 + gradient * gradient * self.one_minus_beta2
        update = new_m * scale_m / (self.sqrt(new_v) * scale_root + eps) + p * decay
        ratio = self.select(is_fixed, self.unit, self.trust_ratio(p, update))
        return self.assign(m, new_m), self.assign(v, new_v), self.assign(p, p - update * (rate * ratio))

    def trust_ratio(self, weight: Tensor, update: Tensor) -> Tensor:
        """Norm of the weight through norm of the update, at most 10; 1 where either is 0."""
        weight_norm = self.sqrt(self.total(weight * weight))
        update_norm = self.sqrt(self.total(update * update))
        has_both = weight_norm * update_norm > 0
        ratio = weight_norm / self.select(has_both, update_norm, self.unit)
        return self.select(has_both, self.minimum(ratio, MAX_TRUST_RATIO), self.unit)


class Momentum(Optimizer):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient.

    Source: Sutskever et al. 2013, in the form `v = momentum * v + g; p = p - lr * v`.
    """

    slot_names = ("moments",)

    def __init__(
        self,
        parameters: dict[str, Parameter],
        groups: Sequence[ParameterGroup],
        config: OptimizerConfig,
        *,
        native: bool = True,
    ):
        super().__init__(parameters, groups, config, native=native)
        self.momentum = config.momentum
        self.assign = ops.Assign()

    def numbers(self, learning_rate: float, update: int) -> np.ndarray:
        rates = [learning_rate * group.factor for group in self.groups]
        return np.asarray([*rates, *(self._decay(group) for group in self.groups)], np.float32)

    def construct(self, numbers: Tensor, factor: Tensor, *gradients: Tensor) -> Tensor:
        count = len(self.ranges)
        done = ()
        for g in range(count):
            start, end = self.ranges[g]
            one = ops.partial(self.one, factor, numbers[g], numbers[count + g])
            done += self.map(one, *self.grouped[g], gradients[start:end])
        return ops.depend(factor, done)

    def one(
        self, factor: Tensor, rate: Tensor, decay: Tensor, p: Parameter, v: Parameter, gradient: Tensor
    ) -> tuple[Tensor, ...]:
        """Update one parameter."""
        velocity = v * self.momentum + gradient * factor + p * decay
        return self.assign(v, velocity), self.assign(p, p - velocity * rate)


def native_operator(name: str) -> Any:
    """The native operator called `name`, or None where native operators are not used."""
    if not kernels.enabled():
        return None
    from bert_ms.kernels import native

    return getattr(native, name)()


OPTIMIZERS: dict[str, type[Optimizer]] = {"adamw": AdamW, "lamb": Lamb, "momentum": Momentum}


def build_optimizer(
    parameters: dict[str, Parameter],
    groups: Sequence[ParameterGroup],
    config: OptimizerConfig,
    *,
    native: bool = True,
) -> Optimizer:
    """The optimiser that `config.name` asks for; see `Optimizer`.

    Raises:
        ConfigError: there is none of that name.
    """
    if config.name not in OPTIMIZERS:
        raise ConfigError(unknown("optimizer", config.name, OPTIMIZERS))
    return OPTIMIZERS[config.name](parameters, groups, config, native=native)
