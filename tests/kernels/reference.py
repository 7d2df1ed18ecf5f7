"""The operators in numpy float64, written independently of the package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bert_ms.kernels.derived_mask import keep_mask

SEED, STEP = 5, 11
MINIMUM = float(np.finfo(np.float32).min)

_erf = np.vectorize(math.erf, otypes=[float])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


ACTIVATIONS: dict[str, Any] = {
    "identity": lambda x: x,
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "fast_gelu": lambda x: x * _sigmoid(1.702 * x),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
}


def linear(name: str, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return ACTIVATIONS[name](x @ w.T + b)


def query_key_value(x: np.ndarray, *weights: np.ndarray) -> np.ndarray:
    return np.concatenate([linear("identity", x, *weights[i : i + 2]) for i in (0, 2, 4)], -1)


def feed_forward(name: str, x: np.ndarray, *weights: np.ndarray) -> np.ndarray:
    return linear("identity", linear(name, x, *weights[:2]), *weights[2:])


def layer_norm(eps: float, x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * w + b


def dropout(p: float, site: int, x: np.ndarray) -> np.ndarray:
    return np.where(keep_mask(SEED, STEP, site, x.size, p).reshape(x.shape), x / (1 - p), 0) if p else x


def attention(
    heads: int, p: float, site: int, q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)

    scores = split(q) @ split(k).transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1] // heads)
    # A masked score is the minimum itself, as it is in float32, where any score vanishes beside it.
    scores = np.where(mask[:, None, None] == 0, MINIMUM, scores)
    probs = np.exp(scores - scores.max(-1, keepdims=True))
    probs = dropout(p, site, probs / probs.sum(-1, keepdims=True))
    return (probs @ split(v)).transpose(0, 2, 1, 3).reshape(q.shape)


def encoder_layer(
    heads: int, name: str, eps: float, p: float, site: int, mask: np.ndarray, x: np.ndarray, *w: np.ndarray
) -> np.ndarray:
    q, k, v = (linear("identity", x, *w[i : i + 2]) for i in (0, 2, 4))
    out = linear("identity", attention(heads, p, site, q, k, v, mask), *w[6:8])
    hidden = layer_norm(eps, dropout(p, site + 1, out) + x, *w[8:10])
    return layer_norm(eps, dropout(p, site + 2, feed_forward(name, hidden, *w[10:14])) + hidden, *w[14:16])


def bytes_of_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows as int8 does it: 254 integers of which 0 is one, the factor of each row, and how near the nearest tie is.

    A number that lies half way between two integers, but for the last bits of float32, may become either.
    """
    span = np.maximum(x.max(-1, keepdims=True), 0) - np.minimum(x.min(-1, keepdims=True), 0)
    scaled = x * (253 / np.where(span > 0, span, np.inf))
    return np.rint(scaled), span / 253, float(np.abs(scaled - np.floor(scaled) - 0.5).min())


def int8_linear(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, float]:
    """A dense layer of rounded rows and a rounded weight, and the nearest tie of a row."""
    u, scale, tie = bytes_of_rows(x)
    factor = np.abs(w).max(1) / np.float32(127)
    v = np.rint(w / np.where(factor > 0, factor, np.float32(1))[:, None])
    return u @ v.T.astype(float) * scale * factor + b, tie


def int8_layer(
    heads: int, name: str, eps: float, mask: np.ndarray, x: np.ndarray, *w: np.ndarray
) -> tuple[np.ndarray, float]:
    """A layer whose dense layers are of integers, and the nearest tie of all that is rounded in it."""
    (q, tie), (k, _), (v, _) = (int8_linear(x, *w[i : i + 2]) for i in (0, 2, 4))
    ties = [tie]

    def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        found, tie = int8_linear(x, w, b)
        ties.append(tie)
        return found

    hidden = layer_norm(eps, linear(attention(heads, 0, 0, q, k, v, mask), *w[6:8]) + x, *w[8:10])
    wide = ACTIVATIONS[name](linear(hidden, *w[10:12]))
    return layer_norm(eps, linear(wide, *w[12:14]) + hidden, *w[14:16]), min(ties)


def slopes(function: Any, inputs: list[np.ndarray], upstream: np.ndarray, seed: int) -> list[tuple[float, np.ndarray]]:
    """For each input a random direction and the derivative of sum(function * upstream) along it, by differences."""
    rng, found = np.random.default_rng(seed), []
    for i, x in enumerate(inputs):
        direction, h = rng.normal(size=x.shape), 1e-6
        ends = [
            (function(*inputs[:i], x + sign * h * direction, *inputs[i + 1 :]) * upstream).sum() for sign in (1, -1)
        ]
        found.append(((ends[0] - ends[1]) / (2 * h), direction))
    return found
