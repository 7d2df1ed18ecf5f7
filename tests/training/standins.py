"""Small networks for tests of the step and the optimisers."""

from __future__ import annotations

import numpy as np
from mindspore import Parameter, Tensor, nn, ops


class LinearLoss(nn.Cell):
    """Mean squared error of x W + b: (x [B, 6], y [B, 4]) -> float32 scalar."""

    def __init__(self, seed: int = 0):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.weight = Parameter(Tensor(rng.standard_normal((6, 4)).astype(np.float32)), name="weight")
        self.bias = Parameter(Tensor(rng.standard_normal(4).astype(np.float32)), name="bias")

    def construct(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.reduce_mean((ops.matmul(x, self.weight) + self.bias - y) ** 2)

    def gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What differentiation gives, in float64."""
        error = 2 * (x @ self.weight.asnumpy().astype(np.float64) + self.bias.asnumpy() - y) / y.size
        return x.T @ error, error.sum(0)


def linear_data(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """x [rows, 6] and y [rows, 4], float32."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 6)).astype(np.float32), rng.standard_normal((rows, 4)).astype(np.float32)
