"""The code for processors with tiles (AMX), its instructions emulated, beside the same operators in float64."""

from __future__ import annotations

import ctypes
from math import erf
from pathlib import Path

import numpy as np
import pytest

from tests.kernels.calling import call
from tests.kernels.compiling import compiled

ROWS, INPUTS, WIDE, OUTPUTS = 70, 40, 72, 48
GELU = 1


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The native operators as a processor with tiles compiles them."""
    emulated = ["-march=native", "-D__AMX_BF16__=1", "-include", str(Path(__file__).with_name("tiles.h"))]
    sources = ("gemm", "linear", "attention", "pool")
    loaded = compiled(sources, emulated, tmp_path_factory.mktemp("tiles"), needed=" avx512bw")
    loaded.bert_matrix_unit.restype = ctypes.c_char_p
    return loaded


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def slope(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def test_it_is_the_code_for_tiles(library: ctypes.CDLL) -> None:
    assert b"AMX" in library.bert_matrix_unit()


def test_the_feed_forward_block_and_its_gradient(library: ctypes.CDLL) -> None:
    x, w1, b1 = normal(ROWS, INPUTS), normal(WIDE, INPUTS) / 6, normal(WIDE)
    w2, b2, dy = normal(OUTPUTS, WIDE) / 8, normal(OUTPUTS), normal(ROWS, OUTPUTS)
    meta = np.array([GELU], np.int32)
    y, u = call(library.bert_feed_forward_kept, [x, w1, b1, w2, b2, meta], [(ROWS, OUTPUTS), (ROWS, WIDE)])
    exact_u = x.astype(float) @ w1.T + b1
    np.testing.assert_allclose(u, exact_u, atol=1e-5)
    np.testing.assert_allclose(y, gelu(exact_u) @ w2.T + b2, atol=1e-5)
    (alone,) = call(library.bert_feed_forward, [x, w1, b1, w2, b2, meta], [(ROWS, OUTPUTS)])
    np.testing.assert_array_equal(alone, y)

    gradients = call(
        library.bert_feed_forward_backward,
        [x, w1, w2, meta, u, dy],
        [x.shape, w1.shape, b1.shape, w2.shape, b2.shape],
    )
    du = dy.astype(float) @ w2 * slope(exact_u)
    exact = [du @ w1, du.T @ x, du.sum(0), dy.T.astype(float) @ gelu(exact_u), dy.sum(0)]
    for got, expected in zip(gradients, exact, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())


def test_a_dense_layer(library: ctypes.CDLL) -> None:
    x, w, b = normal(ROWS, INPUTS), normal(OUTPUTS, INPUTS), normal(OUTPUTS)
    (y,) = call(library.bert_linear, [x, w, b, np.array([0], np.int32)], [(ROWS, OUTPUTS)])
    np.testing.assert_allclose(y, x.astype(float) @ w.T + b, atol=1e-5)


def test_attention(library: ctypes.CDLL) -> None:
    batch, length, heads, size = 2, 37, 2, 16
    q, k, v = (normal(batch, length, heads * size) * scale for scale in (1.0, 0.9, 0.8))
    mask = np.ones((batch, length), np.int32)
    mask[1, 20:] = 0
    meta = np.array([0, 0, np.float32(1).view(np.int32), heads, 0, 1], np.int32)
    (context,) = call(library.bert_attention, [q, k, v, mask, np.zeros(2, np.int32), meta], [q.shape])
    split = [x.astype(float).reshape(batch, length, heads, size).transpose(0, 2, 1, 3) for x in (q, k, v)]
    scores = split[0] @ split[1].transpose(0, 1, 3, 2) / np.sqrt(size)
    scores = np.where(mask[:, None, None, :] == 1, scores, -np.inf)
    probabilities = np.exp(scores - scores.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    exact = (probabilities @ split[2]).transpose(0, 2, 1, 3).reshape(q.shape)
    np.testing.assert_allclose(context, exact, atol=1e-5)
