"""LogME: how well frozen vectors explain labels, as the evidence of a Bayesian linear model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_STEPS = 500
_TOLERANCE = 1e-10
# The ratio of precisions is searched between these parts of the largest eigenvalue: beyond, nothing changes any more.
_LEAST_RATIO, _GREATEST_RATIO = 1e-12, 1e12
_LEAST_ERROR = 1e-14  # part of a column's squares that may stay unexplained: what is less is rounding


@dataclass(frozen=True)
class Moments:
    """All that the evidence asks of vectors F [N, D] and label columns Y [N, C]; parts add up to the whole.

    Attributes:
        count: N.
        gram: F^T F, float64 [D, D].
        cross: F^T Y, float64 [D, C].
        squares: y^T y of each column, float64 [C].
        vector_sum: of the rows of F, float64 [D].
        column_sum: of the rows of Y, float64 [C].
    """

    count: int
    gram: np.ndarray
    cross: np.ndarray
    squares: np.ndarray
    vector_sum: np.ndarray
    column_sum: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, columns: np.ndarray) -> Moments:
        """Of vectors float [N, D] and label columns float [N, C]."""
        vectors, columns = np.asarray(vectors, np.float64), np.asarray(columns, np.float64)
        return cls(
            count=len(vectors),
            gram=vectors.T @ vectors,
            cross=vectors.T @ columns,
            squares=np.square(columns).sum(0),
            vector_sum=vectors.sum(0),
            column_sum=columns.sum(0),
        )

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(one + more for one, more in zip(self._parts(), other._parts(), strict=True)))

    def __sub__(self, other: Moments) -> Moments:
        return Moments(*(one - less for one, less in zip(self._parts(), other._parts(), strict=True)))

    def centred(self) -> Moments:
        """Of the same rows with the means of vectors and columns taken away, so that the model has an intercept.

        Without it a vector's direction that all rows share has to serve as one, and labels that few rows have are
        explained by how well it does.
        """
        mean, count = self.vector_sum / self.count, self.count
        return Moments(
            count=count,
            gram=self.gram - count * np.outer(mean, mean),
            cross=self.cross - np.outer(mean, self.column_sum),
            squares=self.squares - np.square(self.column_sum) / count,
            vector_sum=np.zeros_like(self.vector_sum),
            column_sum=np.zeros_like(self.column_sum),
        )

    def _parts(self) -> tuple[Any, ...]:
        return self.count, self.gram, self.cross, self.squares, self.vector_sum, self.column_sum


def logme(moments: Moments) -> float:
    """The log evidence of a row, in the mean over the label columns; higher is better.

    Columns are the numbers of a regression, or for classification one a class, 1 where a row has it and else 0.

    Raises:
        ValueError: there are no rows, or a column has only zeros.

    Source: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning" (2021), algorithm 1.
    """
    return float(log_evidence(moments).mean()) / moments.count


def log_evidence(moments: Moments) -> np.ndarray:
    """The log of the marginal likelihood of each label column, at the precisions where it is highest; float64 [C].

    A column is y = F w + noise, with w ~ N(0, 1/alpha) and noise ~ N(0, 1/beta). As the paper's, the fixed point takes
    alpha and beta where the evidence does not rise any more; only their ratio r = alpha/beta is iterated here, as beta
    follows from it, and all columns at once.

    Source: You et al. 2021, equation 2; the fixed point is MacKay's, "Bayesian Interpolation" (1992), section 4.
    """
    count, squares = moments.count, moments.squares
    if not count or not np.all(squares > 0):
        raise ValueError(f"{count} rows, sums of squares {squares.tolist()[:5]}: expected rows with labels.")
    values, directions = np.linalg.eigh(moments.gram)
    is_seen = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    eigenvalues = values[is_seen, None]  # [K, 1]
    if not len(eigenvalues):  # vectors of zeros explain nothing
        return -count / 2 * (1 + np.log(2 * np.pi * squares / count))
    explained = np.square(directions[:, is_seen].T @ moments.cross) / eigenvalues  # [K, C], of y^T y
    ratio = _best_ratio(eigenvalues, explained, count, squares)
    kept = eigenvalues / (eigenvalues + ratio)
    error = np.maximum(squares - (explained * kept).sum(0), _LEAST_ERROR * squares)
    return -count / 2 * (1 + np.log(2 * np.pi * error / count)) + np.log1p(-kept).sum(0) / 2


def _best_ratio(eigenvalues: np.ndarray, explained: np.ndarray, count: int, squares: np.ndarray) -> np.ndarray:
    """r = alpha/beta of each column at the fixed point, float64 [C]."""
    low, high = eigenvalues.max() * _LEAST_RATIO, eigenvalues.max() * _GREATEST_RATIO
    ratio = np.full(len(squares), eigenvalues.mean())
    for _ in range(_STEPS):
        kept = eigenvalues / (eigenvalues + ratio)
        gamma = kept.sum(0)  # how many directions the data determine
        residual = squares - explained.sum(0) + (explained * np.square(1 - kept)).sum(0)
        weights = (explained * np.square(kept) / eigenvalues).sum(0)
        room = np.maximum(count - gamma, np.finfo(np.float64).eps)
        residual = np.maximum(residual, _LEAST_ERROR * squares)
        after = np.clip(gamma * residual / np.maximum(room * weights, np.finfo(np.float64).tiny), low, high)
        moved = np.abs(np.log(after / ratio)).max()
        ratio = after
        if moved < _TOLERANCE:
            break
    return ratio
