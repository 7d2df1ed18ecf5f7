"""What training minimises: the loss of a task's network, as the run's configuration reshapes it."""

from __future__ import annotations

import logging

import numpy as np
from mindspore import nn

from bert_ms.config import LossConfig, RunConfig
from bert_ms.errors import ConfigError
from bert_ms.model import WithLoss
from bert_ms.model.losses import LabelLoss, SequenceLoss
from bert_ms.tasks import Task
from bert_ms.training.label_loss import ShapedLabelLoss, balanced_weights
from bert_ms.training.objective_check import objective_problems
from bert_ms.training.r_drop import RDrop

logger = logging.getLogger(__name__)

_NEXT_OR_NOT = 2  # classes of the next-sentence head


def objective(network: nn.Cell, task: Task, config: RunConfig, *, labels: np.ndarray | None = None) -> nn.Cell:
    """The Cell that is differentiated: (inputs, labels of the task[, dropout_key]) -> float32 scalar.

    The adversarial step of FGM is not in it: it needs the gradients, see `gradients.AdversarialGradients`.

    Args:
        network: with the task's head.
        task: of the network.
        config: of the run.
        labels: all labels of the training data, for class weights that are balanced.

    Raises:
        ConfigError: the loss, or what is to regularise it, does not fit the task or the network.
    """
    problems = list(objective_problems(config, task))
    if problems:
        raise ConfigError(problems)
    if task.objective is not None:
        made: nn.Cell = task.load("objective")(network)
        return made
    minimised = WithLoss(network)
    if config.loss.used:
        _reshape(minimised, config.loss, labels)
    if config.regularization.r_drop_alpha > 0:
        return RDrop(minimised, config.regularization.r_drop_alpha)
    return minimised


def _reshape(minimised: WithLoss, config: LossConfig, labels: np.ndarray | None) -> None:
    """Put the reshaped cross entropy in the place of the plain one."""
    plain = minimised.loss
    is_single = isinstance(plain, SequenceLoss) and plain.kind in (None, "single_label_classification")
    if not (is_single or type(plain) is LabelLoss):
        kind = f" of problem type {plain.kind}" if isinstance(plain, SequenceLoss) else ""
        raise ConfigError(
            f"loss.{', loss.'.join(config.used)} reshape the cross entropy of one label, which "
            f"{type(minimised.network).__name__}{kind} has not: leave them out."
        )
    weights = class_weights(config, minimised.network.config.num_labels or _NEXT_OR_NOT, labels)
    if weights is not None:
        names = minimised.network.config.labels or tuple(map(str, range(len(weights))))
        told = ", ".join(f"{name} {weight:.4g}" for name, weight in zip(names, weights, strict=False))
        logger.info("class weights: %s", told)
    minimised.loss = ShapedLabelLoss(smoothing=config.label_smoothing, gamma=config.focal_gamma, weights=weights)


def class_weights(config: LossConfig, classes: int, labels: np.ndarray | None = None) -> np.ndarray | None:
    """The weight of each class, float32 [classes], or None for equal ones.

    Raises:
        ConfigError: there are more or fewer of them than classes, or they are to be balanced without labels at hand.
    """
    given = config.class_weights
    if given is None:
        return None
    if given == "balanced":
        if labels is None:
            raise ConfigError("loss.class_weights is 'balanced': that needs the labels of the training data.")
        return balanced_weights(labels, classes)
    if len(given) != classes:
        raise ConfigError(
            f"loss.class_weights has {len(given)} numbers, but there are {classes} labels: give one for each, in the "
            f"labels' order, or 'balanced'."
        )
    return np.asarray(given, np.float32)
