"""Weights of an encoder layer rounded to 8 bits, as src/int8.cpp reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

COLUMNS = 64  # of a panel
QUAD = 4  # numbers of depth that are multiplied and summed at once
_LARGEST = np.float32(127)
_LEAST = np.finfo(np.float32).tiny


def layer_arrays(parameters: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A layer's three arrays.

    Args:
        parameters: sixteen, float32, as `ops.NativeEncoderLayer` has them: weight [O, I] and bias [O] of query, key,
            value and output, LayerNorm [H] twice, weight and bias of the inner and the outer dense layer, LayerNorm.

    Returns:
        panels int8 [n] of the four products (query, key and value are one), columns int32 [3, m] (minus the sum of each
        column's bytes; then the bits of its factor, and of its bias), norms float32 [4, H].
    """
    wq, bq, wk, bk, wv, bv, wo, bo, g1, c1, w1, b1, w2, b2, g2, c2 = parameters
    products = [
        (np.concatenate((wq, wk, wv)), np.concatenate((bq, bk, bv))),
        (wo, bo),
        (w1, b1),
        (w2, b2),
    ]
    packed = [_product(weight, bias) for weight, bias in products]
    panels = np.concatenate([one.ravel() for one, _ in packed])
    columns = np.concatenate([one for _, one in packed], axis=1)
    return panels, columns, np.stack((g1, c1, g2, c2)).astype(np.float32)


def rounded(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A weight as bytes, with a factor for each of its outputs.

    Row o becomes round(row / factor[o]), factor[o] = max|row| / 127: at most half a factor is lost. Where that factor
    would be no normal float32 (a row of zeros, or nearly) the row becomes zeros.

    Args:
        weight: float32 [O, I].

    Returns:
        int8 [O, I], from -127 to 127, and the factors float32 [O]; of a row that is not finite NaN, as is then whatever
        it is multiplied with.
    """
    largest = np.abs(weight).max(1)
    is_finite = np.isfinite(largest)
    is_told = is_finite & (largest >= _LARGEST * _LEAST)
    factor = np.where(is_told, largest, _LARGEST) / _LARGEST
    int8 = np.rint(np.where(is_told[:, None], weight, 0) / factor[:, None]).astype(np.int8)
    return int8, np.where(is_finite, factor, np.float32(np.nan))


def _product(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Panels int8 [P, depth / 4, 64, 4] and columns int32 [3, 64 P] of a dense layer, filled up with zeros."""
    int8, factor = rounded(np.asarray(weight, np.float32))
    outputs, depth = int8.shape
    more = -outputs % COLUMNS
    filled = np.pad(int8, ((0, more), (0, -depth % QUAD)))
    panels = filled.reshape(-1, COLUMNS, filled.shape[1] // QUAD, QUAD).transpose(0, 2, 1, 3)
    columns = np.zeros((3, len(filled)), np.int32)
    columns[0] = -filled.sum(1, dtype=np.int32)
    columns[1, :outputs] = factor.view(np.int32)
    columns[2, :outputs] = np.asarray(bias, np.float32).view(np.int32)
    return np.ascontiguousarray(panels), columns
