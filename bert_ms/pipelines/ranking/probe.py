"""A linear probe: what a plain linear model learns from frozen vectors, judged on rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bert_ms.pipelines.ranking.labelled import Kind

FOLDS = 5
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3)  # of the decay, strongest first: each fit begins where the one before ended
_STEPS = 200
_TOLERANCE = 1e-5
_LEAST_DEVIATION = 1e-6

# A loss [N] of outputs and targets [N, C]; its gradient is prediction - target for all three (canonical links).
Loss = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def out_of_fold(vectors: np.ndarray, targets: np.ndarray, parts: np.ndarray, kind: Kind) -> np.ndarray:
    """Outputs for every point by a model that was fitted without its fold, float64 [P, C].

    Logistic regression of one label (softmax) or of several (a sigmoid each), linear regression of numbers; vectors are
    standardised. The decay is the one of STRENGTHS with the least loss over all points: one number of four, chosen by
    the rows that are judged, which flatters all checkpoints alike and little.

    Args:
        vectors: float [P, H].
        targets: float64 [P, C].
        parts: int [P], the part of each point; part i is in fold i % FOLDS.
        kind: of the labels; tags are one label a word.
    """
    loss = _LOSSES[kind]
    center, scale = (targets.mean(), targets.std()) if kind == "number" else (0.0, 1.0)
    targets = (targets - center) / scale
    folds = parts % FOLDS
    weights: list[np.ndarray | None] = [None] * FOLDS
    best, least = np.zeros_like(targets), np.inf
    for strength in STRENGTHS:
        outputs = np.zeros_like(targets)
        for fold in range(FOLDS):
            is_out = folds == fold
            inputs = standardised(vectors, ~is_out)
            weights[fold] = fit(inputs[~is_out], targets[~is_out], loss, strength, weights[fold])
            outputs[is_out] = inputs[is_out] @ weights[fold]
        found = float(loss(outputs, targets)[0].mean())
        if found >= least:  # a weaker decay only learns the rows by heart
            break
        best, least = outputs, found
    return best * scale + center


def standardised(vectors: np.ndarray, is_in: np.ndarray) -> np.ndarray:
    """Vectors of mean 0 and deviation 1 over the rows `is_in`, and a 1 behind each, float64 [P, H + 1]."""
    mean, deviation = vectors[is_in].mean(0, dtype=np.float64), vectors[is_in].std(0, dtype=np.float64)
    scaled = (vectors - mean) / np.maximum(deviation, _LEAST_DEVIATION)
    return np.concatenate([scaled, np.ones((len(vectors), 1))], 1)


def fit(
    inputs: np.ndarray, targets: np.ndarray, loss: Loss, strength: float, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights [H + 1, C] of the least mean loss + strength / 2 * their squares, those of the last input apart."""
    from scipy.optimize import minimize

    shape = (inputs.shape[1], targets.shape[1])

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape)
        losses, error = loss(inputs @ weights, targets)
        gradient = inputs.T @ error / len(inputs)
        gradient[:-1] += strength * weights[:-1]
        return float(losses.mean() + strength / 2 * np.square(weights[:-1]).sum()), gradient.ravel()

    begin = np.zeros(shape) if start is None else start
    options = {"maxiter": _STEPS, "gtol": _TOLERANCE}
    found = minimize(objective, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    weights: np.ndarray = found.x.reshape(shape)
    return weights


def _softmax(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shifted = outputs - outputs.max(1, keepdims=True)
    exponents = np.exp(shifted)
    total = exponents.sum(1, keepdims=True)
    return np.log(total[:, 0]) - (shifted * targets).sum(1), exponents / total - targets


def _sigmoid(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    small = np.exp(-np.abs(outputs))
    probabilities = np.where(outputs >= 0, 1, small) / (1 + small)
    return (np.maximum(outputs, 0) - outputs * targets + np.log1p(small)).sum(1), probabilities - targets


def _squares(outputs: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.square(outputs - targets).sum(1) / 2, outputs - targets


_LOSSES: dict[Kind, Loss] = {"label": _softmax, "tags": _softmax, "labels": _sigmoid, "number": _squares}
