"""A few rows cost less than a whole panel and are the same bits as among many, whatever the processor."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import numpy as np
import pytest

from bert_ms.kernels import build
from tests.kernels.calling import call
from tests.kernels.compiling import compiled

MANY = 64
# Around what a vector, two of them and a whole panel hold, on processors of 4, 8 and 16 lanes.
FEW = [1, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 25, 31, 32, 33, 63]
INPUTS, WIDE, OUTPUTS = 300, 75, 70  # a depth of two stretches, and lines that fill no block
GELU = 1
# What is compiled for beside this processor: flags, and the flag of /proc/cpuinfo that running it needs.
PROCESSORS = {"native": None, "x86-64": ("-march=x86-64", ""), "haswell": ("-march=haswell", " avx2")}


@pytest.fixture(scope="module", params=list(PROCESSORS))
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    """The dense layers of a processor."""
    if PROCESSORS[request.param] is None:
        if build.compiler() is None:
            pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
        loaded = ctypes.CDLL(str(build.library()))
    else:
        flag, needed = PROCESSORS[request.param]
        loaded = compiled(("gemm", "linear", "pool"), [flag], tmp_path_factory.mktemp("few"), needed=needed)
    loaded.bert_set_threads(2)
    yield loaded
    loaded.bert_set_threads(0)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def outputs(library: ctypes.CDLL, rows: int) -> list[np.ndarray]:
    """What the operators make of the first rows of 64."""
    x, w, b = normal(MANY, INPUTS)[:rows], normal(OUTPUTS, INPUTS), normal(OUTPUTS)
    w1, b1, w2, b2 = normal(WIDE, INPUTS) / 10, normal(WIDE), normal(INPUTS, WIDE), normal(INPUTS)
    meta = np.array([GELU], np.int32)
    linear = call(library.bert_linear, [x, w, b, meta], [(rows, OUTPUTS)])
    kept = call(library.bert_feed_forward_kept, [x, w1, b1, w2, b2, meta], [(rows, INPUTS), (rows, WIDE)])
    qkv = call(library.bert_qkv, [x, w, b, w, b, w, b], [(rows, OUTPUTS)] * 3)
    gradient = call(
        library.bert_linear_backward, [x, w, b, np.zeros(1, np.int32), linear[0]], [x.shape, w.shape, b.shape]
    )
    return [*linear, *kept, *qkv, gradient[0]]


@pytest.fixture(scope="module")
def among_many(library: ctypes.CDLL) -> list[np.ndarray]:
    found = outputs(library, MANY)
    x, w, b = normal(MANY, INPUTS), normal(OUTPUTS, INPUTS), normal(OUTPUTS)
    np.testing.assert_allclose(found[3], x.astype(float) @ w.T + b, atol=1e-4)
    return found


@pytest.mark.parametrize("rows", FEW)
def test_a_row_is_bit_identical_among_few_and_many(
    library: ctypes.CDLL, among_many: list[np.ndarray], rows: int
) -> None:
    for few, many in zip(outputs(library, rows), among_many, strict=True):
        np.testing.assert_array_equal(few, many[:rows])
