"""The host's side of the train step: which rate, which scale, which dropout key, and what of it must be saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

from bert_ms import compat
from bert_ms.config import RunConfig
from bert_ms.errors import TrainingError
from bert_ms.model.frozen import spare_frozen_gradients
from bert_ms.training.distributed import Distributed, grad_reducer
from bert_ms.training.groups import parameter_groups
from bert_ms.training.loss_scale import LossScale
from bert_ms.training.optimizers import build_optimizer
from bert_ms.training.schedules import schedule
from bert_ms.training.step import TrainStep

_RANK_STRIDE = 0x61C88647  # an odd constant, far from small: no two ranks' seeds meet


@dataclass(frozen=True)
class Update:
    """What one optimiser step did; see `events.StepReport` for the meaning of each field."""

    loss: float
    learning_rate: float
    grad_norm: float
    loss_scale: float
    is_skipped: bool
    seconds: float
    is_compiling: bool


class Updater:
    """Takes optimiser steps, one at a time.

    Args:
        network: (input_ids, attention_mask, token_type_ids, *labels[, dropout_key]) -> float32 scalar loss; it is
            switched to training mode for each step.
        config: the run's.
        total_steps: optimiser steps of the whole run, for the schedule.
        unused: patterns of parameters that are left as they are.
        distributed: this process among those that train together; each draws dropout masks of its own.

    Raises:
        ConfigError: a freeze pattern matches nothing, or the schedule does not fit.
    """

    def __init__(
        self,
        network: nn.Cell,
        config: RunConfig,
        *,
        total_steps: int,
        unused: Sequence[str] = (),
        distributed: Distributed | None = None,
    ):
        self.distributed = distributed = distributed or Distributed()
        self.network, self.config = network, config
        self.parameters = {p.name: p for p in network.get_parameters()}
        learning = _learning(self.parameters, unused)
        groups, epsilon = parameter_groups(list(learning), config.optimizer), config.regularization.fgm_epsilon
        self.optimizer = build_optimizer(learning, groups, config.optimizer, native=epsilon == 0)
        spare_frozen_gradients(network, self.optimizer.names)
        self.loss_scale = LossScale(config.precision)
        self.rate = schedule(config.schedule, peak=config.optimizer.learning_rate, total_steps=total_steps)
        self.derives_dropout = config.training.dropout == "derived" or (
            config.training.dropout == "auto" and compat.current_device() != "ascend"
        )
        self._step_cell = TrainStep(
            network,
            self.optimizer,
            max_grad_norm=config.optimizer.max_grad_norm,
            accumulate=config.training.accumulate,
            has_scale=self.loss_scale.is_used,
            has_dropout_key=self.derives_dropout,
            fgm_epsilon=epsilon,
            reducer=grad_reducer(self.optimizer.parameters, distributed),
        )
        self._step_cell.set_train(True)
        self._seed = (config.seed + distributed.rank * _RANK_STRIDE) & 0x7FFFFFFF
        self.updates_applied = 0
        self._shapes: set[tuple[Any, ...]] = set()

    def update(
        self,
        step: int,
        micro_batches: Sequence[Sequence[np.ndarray]],
        *,
        on_compile: Callable[[Sequence[int]], None] | None = None,
    ) -> Update:
        """One optimiser step.

        Args:
            step: steps done before this one.
            micro_batches: `accumulate` of them, each the network's arguments in order.
            on_compile: called with the shape of the first argument before a step that compiles a graph for it.

        Raises:
            TrainingError: gradients are not finite (without a loss scale), or have not been for too many steps.
        """
        start = time.perf_counter()
        rate, scale = self.rate(step), self.loss_scale.value
        numbers = Tensor(self.optimizer.numbers(rate, self.updates_applied + 1))
        count, is_compiling = len(micro_batches), False
        self.network.set_train(True)
        results = []
        for index, batch in enumerate(micro_batches):
            key = np.asarray([self._seed, (step * count + index) & 0x7FFFFFFF], np.int32)
            shapes = tuple(array.shape for array in batch)
            if shapes not in self._shapes:
                self._shapes.add(shapes)
                is_compiling = True
                if on_compile is not None:
                    on_compile(shapes[0])
            controls = (Tensor(index == count - 1), Tensor(key), Tensor(scale, ms.float32), numbers)
            results.append(self._step_cell(*controls, *(Tensor(array) for array in batch)))
        mean_loss = self.distributed.mean(float(np.mean([float(loss.asnumpy()) for loss, _, _ in results])))
        _, norm, applied = results[-1]
        grad_norm, is_skipped = float(norm.asnumpy()), not bool(applied.asnumpy())
        self._account(step, mean_loss, grad_norm, is_skipped)
        seconds = time.perf_counter() - start
        return Update(mean_loss, rate, grad_norm, scale, is_skipped, seconds, is_compiling)

    def _account(self, step: int, loss: float, grad_norm: float, is_skipped: bool) -> None:
        if self.loss_scale.is_used:
            self.loss_scale.update(skipped=is_skipped)
        elif not (math.isfinite(grad_norm) and math.isfinite(loss)):
            raise TrainingError(
                f"step {step + 1}: loss {loss:g}, gradient norm {grad_norm:g}: not finite, so the weights are lost. "
                f"Earlier checkpoints are good. Try a lower optimizer.learning_rate (now "
                f"{self.config.optimizer.learning_rate:g}) or a longer schedule.warmup_ratio, in another output_dir."
            )
        self.updates_applied += not is_skipped

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Weights and optimiser slots, for a checkpoint."""
        slots = {p.name: p.asnumpy() for slot in self.optimizer.slots.values() for p in slot}
        return {"model": {name: p.asnumpy() for name, p in self.parameters.items()}, "optimizer": slots}

    def state(self) -> dict[str, Any]:
        """Everything else that the next step depends on, JSON values."""
        return {"updates_applied": self.updates_applied, "loss_scale": self.loss_scale.state(), "seed": self._seed}

    def restore(self, arrays: Mapping[str, Mapping[str, np.ndarray]], state: Mapping[str, Any]) -> None:
        """Go on from what `arrays` and `state` gave.

        Raises:
            TrainingError: the arrays are of another network or optimiser.
        """
        slots = {p.name: p for slot in self.optimizer.slots.values() for p in slot}
        set_parameters(self.parameters, arrays["model"])
        set_parameters(slots, arrays["optimizer"])
        self.updates_applied = int(state["updates_applied"])
        self.loss_scale.restore(state["loss_scale"])


def set_parameters(parameters: Mapping[str, Parameter], arrays: Mapping[str, np.ndarray]) -> None:
    """Fill parameters by name; both sides must have the same names and shapes.

    Raises:
        TrainingError: they have not.
    """
    ours = {name: tuple(p.shape) for name, p in parameters.items()}
    theirs = {name: tuple(a.shape) for name, a in arrays.items()}
    if ours != theirs:
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        first = different[0]
        raise TrainingError(
            f"the checkpoint is of another network or optimiser: {len(different)} parameters differ, the first is "
            f"{first}: {theirs.get(first, 'absent')} in the checkpoint, {ours.get(first, 'absent')} in this run."
        )
    for name, parameter in parameters.items():
        parameter.set_data(Tensor(arrays[name]))


def _learning(parameters: Mapping[str, Parameter], unused: Sequence[str]) -> dict[str, Parameter]:
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.requires_grad and not any(fnmatchcase(name, pattern) for pattern in unused)
    }
