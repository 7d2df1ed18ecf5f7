"""Layers of 8-bit integers beside the same rounding in numpy, compiled for this processor and for others."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bert_ms import kernels as switch
from bert_ms.kernels import build
from bert_ms.kernels.int8_weights import COLUMNS, QUAD, layer_arrays, rounded
from tests.kernels import reference
from tests.kernels.calling import call
from tests.kernels.compiling import compiled

ms = pytest.importorskip("mindspore")

from mindspore import Tensor  # noqa: E402

from bert_ms.kernels.native import ACTIVATIONS  # noqa: E402
from bert_ms.kernels.native_int8 import Int8Layers  # noqa: E402

EPS = 1e-12
# Further than this from a tie a number rounds as the reference does, whatever the last bits of float32 are.
SAFE = 3e-4
SOURCES = ("int8", "attention", "gemm", "rows", "pool")
# What is compiled for: flags, and the flag of /proc/cpuinfo that running it needs.
PROCESSORS = {
    "x86-64": (["-march=x86-64"], ""),
    "haswell": (["-march=haswell"], " avx2"),
    "avx-vnni": (["-march=haswell", "-include", str(Path(__file__).with_name("avx_vnni.h"))], " avx2"),
}


class Case(NamedTuple):
    """Layers with inputs, and what numpy makes of them."""

    heads: int
    name: str
    x: np.ndarray
    mask: np.ndarray
    layers: list[list[np.ndarray]]
    expected: np.ndarray

    @property
    def wide(self) -> int:
        return len(self.layers[0][10])

    def inputs(self) -> list[np.ndarray]:
        """As the operator takes them."""
        floats = [np.float32(value).view(np.int32) for value in (EPS, 0.0)]
        meta = np.array([self.heads, ACTIVATIONS[self.name], self.wide, *floats], np.int32)
        return [self.x, self.mask, meta, *(array for layer in self.layers for array in layer_arrays(layer))]


def weights(random: np.random.Generator, width: int, wide: int) -> list[np.ndarray]:
    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    def norm() -> list[np.ndarray]:
        return [1 + normal(width) / 10, normal(width)]

    square = [part for _ in range(4) for part in (normal(width, width) / 5, normal(width))]
    return [*square, *norm(), normal(wide, width) / 5, normal(wide), normal(width, wide) / 5, normal(width), *norm()]


@lru_cache(maxsize=64)
def case(
    shape: tuple[int, int],
    width: int = 36,
    heads: int = 3,
    wide: int = 50,
    name: str = "gelu",
    layers: int = 1,
    bias: float = 0.0,  # in front of the activation
) -> Case:
    """The first random one in which nothing that is rounded lies at a tie."""
    for seed in range(500):
        random = np.random.default_rng(seed)
        x, mask = random.normal(size=(*shape, width)).astype(np.float32), np.ones(shape, np.int32)
        mask[1:2, shape[1] // 2 :] = 0
        mask[2:3] = 0
        made = [weights(random, width, wide) for _ in range(layers)]
        for layer in made:
            layer[11] += np.float32(bias)
        found, ties = x.astype(float), []
        for layer in made:
            found, tie = reference.int8_layer(heads, name, EPS, mask, found, *layer)
            ties.append(tie)
            if tie < SAFE:
                break
        else:
            return Case(heads, name, x, mask, made, found)
    raise AssertionError("every seed has a tie")


@pytest.fixture(scope="module")
def own() -> ctypes.CDLL:
    """The operators of this processor."""
    if build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    return ctypes.CDLL(str(build.library()))


@pytest.fixture(scope="module", params=list(PROCESSORS))
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The operators of another processor."""
    flags, needed = PROCESSORS[request.param]
    return compiled(SOURCES, flags, tmp_path_factory.mktemp("int8"), needed=needed)


def run(library: ctypes.CDLL, one: Case) -> np.ndarray:
    (found,) = call(library.bert_int8_layers, one.inputs(), [one.x.shape])
    return found


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """An integer that is another one would be seen: it is worth a hundredth of the largest number."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# (B, S), H, N, I: widths that are a panel's and such as fill none, a single row, and more rows than a task has.
SHAPES = [((1, 1), 36, 3, 50), ((3, 5), 36, 3, 50), ((3, 4), 64, 4, 128), ((1, 3), 66, 2, 7), ((13, 1), 12, 2, 20)]


@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_a_layer_is_what_numpy_makes_of_the_same_integers(own: ctypes.CDLL, sizes: tuple) -> None:
    one = case(*sizes)
    close(run(own, one), one.expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_rounded_after_it_was_applied(own: ctypes.CDLL, name: str) -> None:
    one = case((1, 3), name=name)
    close(run(own, one), one.expected)


def test_the_activation_of_nothing_is_no_number_of_a_row(own: ctypes.CDLL) -> None:
    one = case(
        (2, 3), name="sigmoid", bias=-8.0
    )  # all are far below sigmoid(0), in vectors that 50 numbers do not fill
    close(run(own, one), one.expected)


def test_layers_follow_each_other(own: ctypes.CDLL) -> None:
    one = case((2, 3), 12, 3, 20, layers=3)
    close(run(own, one), one.expected)


@pytest.mark.parametrize(("name", "bias"), [("gelu", 0.0), ("sigmoid", -8.0)])
def test_other_processors_compute_the_same(other: ctypes.CDLL, name: str, bias: float) -> None:
    for sizes in SHAPES:
        one = case(*sizes, name=name, bias=bias)
        close(run(other, one), one.expected)


def test_only_instructions_for_bytes_count_as_a_unit(other: ctypes.CDLL, request: pytest.FixtureRequest) -> None:
    assert bool(other.bert_int8_unit()) == (request.node.callspec.params["other"] == "avx-vnni")


def test_the_code_for_avx_vnni_compiles(tmp_path: Path) -> None:
    found = build.compiler()
    target = ["-march=haswell", "-mavxvnni", "-c", str(build.SOURCES / "int8.cpp"), "-o", str(tmp_path / "int8.o")]
    if found is None or build.platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("needs a C++ compiler for x86")
    done = subprocess.run([*found.command, *build.FLAGS, "-O1", *target], capture_output=True, text=True)
    if "mavxvnni" in done.stderr:
        pytest.skip(f"{' '.join(found.command)} does not know AVX-VNNI")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def any_threads() -> Iterator[None]:
    yield
    switch.set_threads(0)


def many_rows(rows: int = 21, length: int = 9) -> Case:
    """Rows of several lengths, more than a task has, without what numpy makes of them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, length, 36)).astype(np.float32)
    mask = (np.arange(length) < random.integers(1, length + 1, rows)[:, None]).astype(np.int32)
    return Case(3, "gelu", x, mask, [weights(random, 36, 50) for _ in range(2)], x)


@pytest.mark.parametrize("rows", [2, 21])  # few, whose products threads divide by columns, and more
def test_results_are_bit_identical_for_every_number_of_threads(own: ctypes.CDLL, any_threads: None, rows: int) -> None:
    one, found = many_rows(rows), []
    for threads in (1, 2, 3, 8):
        own.bert_set_threads(threads)
        found.append(run(own, one))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("length", [9, 10, 40, 300])
def test_a_row_is_bit_identical_alone_and_among_others_at_any_length(own: ctypes.CDLL, length: int) -> None:
    one = many_rows()
    together = run(own, one)
    for row in range(len(one.x)):
        x, mask = np.zeros((1, length, 36), np.float32), np.zeros((1, length), np.int32)
        x[0, :9], mask[0, :9] = one.x[row], one.mask[row]
        alone = run(own, one._replace(x=x, mask=mask))
        np.testing.assert_array_equal(alone[0, :9], together[row])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_makes_its_own_row_no_number(own: ctypes.CDLL, value: float) -> None:
    one = many_rows()
    bad = one.x.copy()
    bad[4, 0, 5] = value
    found, expected = run(own, one._replace(x=bad)), run(own, one)
    assert np.isnan(found[4]).all()
    np.testing.assert_array_equal(np.delete(found, 4, 0), np.delete(expected, 4, 0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_not_passed_over(own: ctypes.CDLL, value: float) -> None:
    one = many_rows()
    one.layers[1][12][3, 7] = value  # of the outer dense layer: one output of each token, which LayerNorm spreads
    assert np.isnan(run(own, one)).all()


@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-37, 1e-30, 1e15])
def test_tokens_and_weights_of_any_size_give_numbers(own: ctypes.CDLL, size: float) -> None:
    one = many_rows()
    layers = [[part * np.float32(size) if part.ndim == 2 else part for part in layer] for layer in one.layers]
    assert np.isfinite(run(own, one._replace(x=one.x * np.float32(size)))).all()
    assert np.isfinite(run(own, one._replace(layers=layers))).all()


def test_a_weight_is_rounded_to_half_a_factor_of_its_output() -> None:
    weight = np.random.default_rng(0).normal(size=(70, 50)).astype(np.float32)
    int8, factor = rounded(weight)
    assert int8.dtype == np.int8 and np.abs(int8.astype(int)).max(1).tolist() == [127] * 70
    assert (np.abs(int8 * factor[:, None].astype(float) - weight) <= factor[:, None] * 0.50001).all()


def test_rows_without_a_number_are_zeros_and_what_is_not_finite_has_no_factor() -> None:
    weight = np.array([[0, 0], [1e-40, 0], [1, -2], [np.nan, 1], [np.inf, 1]], np.float32)
    int8, factor = rounded(weight)
    assert int8.tolist() == [[0, 0], [0, 0], [64, -127], [0, 0], [0, 0]]
    np.testing.assert_array_equal(factor, np.array([1, 1, np.float32(2) / np.float32(127), np.nan, np.nan], np.float32))


def test_panels_hold_four_of_a_column_beside_each_other() -> None:
    layer = weights(np.random.default_rng(0), 36, 50)
    panels, columns, norms = layer_arrays(layer)
    int8, factor = rounded(np.concatenate(layer[0:6:2]))
    depth = 36 // QUAD
    first = panels[: 2 * depth * COLUMNS * QUAD].reshape(2, depth, COLUMNS, QUAD).transpose(0, 2, 1, 3).reshape(128, 36)
    np.testing.assert_array_equal(first[:108], int8)
    assert not first[108:].any()
    np.testing.assert_array_equal(columns[0, :108], -int8.sum(1, dtype=np.int32))
    np.testing.assert_array_equal(columns[1, :108].view(np.float32), factor)
    np.testing.assert_array_equal(columns[2, :108].view(np.float32), np.concatenate(layer[1:6:2]))
    assert (panels.dtype, columns.dtype, norms.dtype, norms.shape) == (np.int8, np.int32, np.float32, (4, 36))


def test_mindspore_calls_the_operator_as_it_is(own: ctypes.CDLL, native: None, any_mode: str) -> None:
    one = many_rows()
    cell = Int8Layers(one.heads, one.name, one.wide, EPS)
    x, mask, _, *arrays = map(Tensor, one.inputs())
    np.testing.assert_array_equal(cell(x, mask, tuple(arrays)).asnumpy(), run(own, one))


def test_gradients_are_refused(native: None, any_mode: str) -> None:
    one = many_rows()
    cell = Int8Layers(one.heads, one.name, one.wide, EPS)
    x, mask, _, *arrays = map(Tensor, one.inputs())
    with pytest.raises(ValueError, match="dtype int8 has no gradients"):
        ms.grad(cell)(x, mask, tuple(arrays))
