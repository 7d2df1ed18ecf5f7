"""What native operators promise beyond values: accuracy, order of sums, NaN, in-place updates, building, switching."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bert_ms import kernels as switch
from bert_ms.errors import ConfigError, DeviceError
from bert_ms.kernels import build
from bert_ms.kernels.pages import drop_library_pages

ms = pytest.importorskip("mindspore")

from mindspore import Parameter, ParameterTuple, Tensor, nn  # noqa: E402
from mindspore import ops as msops  # noqa: E402

from bert_ms.kernels import native as cells  # noqa: E402
from bert_ms.kernels import ops  # noqa: E402
from bert_ms.kernels.derived_mask import KeepMask, keep_mask  # noqa: E402


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    rng = np.random.default_rng(4)
    return [Tensor(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def test_a_product_is_as_exact_as_float32_allows(native: None, graph_mode: None) -> None:
    x, w, b = tensors((70, 768), (90, 768), (90,))
    exact = x.asnumpy().astype(float) @ w.asnumpy().T.astype(float) + b.asnumpy()
    ours = np.abs(ops.Linear()(x, w, b).asnumpy() - exact).max()
    numpy = np.abs(x.asnumpy() @ w.asnumpy().T + b.asnumpy() - exact).max()
    assert ours < 1.5 * numpy


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_a_product_keeps_its_accuracy_at_the_ends_of_the_range(size: float, native: None, graph_mode: None) -> None:
    x, w, b = tensors((5, 40), (6, 40), (6,))
    x = Tensor((x.asnumpy() * size).astype(np.float32))
    exact = x.asnumpy().astype(float) @ w.asnumpy().T.astype(float)
    got = ops.Linear()(x, w, Tensor(np.zeros_like(b.asnumpy()))).asnumpy()
    np.testing.assert_allclose(got / size, exact / size, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_not_finite(value: float, native: None, graph_mode: None) -> None:
    x, w1, b1, w2, b2 = tensors((1, 40, 12), (20, 12), (20,), (12, 20), (12,))
    bad = x.asnumpy().copy()
    bad[0, 3, 5] = value
    bad = Tensor(bad)
    mask = Tensor(np.ones((1, 40), np.int32))
    outputs = {
        "linear": ops.Linear("identity")(bad, w1, b1),
        "feed forward": ops.FeedForward("gelu")(bad, w1, b1, w2, b2),
        "attention": ops.Attention(2)(bad, bad, bad, mask),
        "layer norm": ops.LayerNormOp(1e-12)(bad, b2, b2),
        "gelu": ops.Activation("tanh")(bad) if np.isnan(value) else ops.Activation("gelu")(bad),
    }
    for name, out in outputs.items():
        assert not np.isfinite(out.asnumpy()[0, 3]).all(), name
        assert np.isfinite(out.asnumpy()[0, 4]).all() or name == "attention", name


class Everything(nn.Cell):
    """All that is in a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.attend = ops.QueryKeyValue(), ops.Attention(4, 0.1, 1)
        self.finish, self.through = ops.DropoutResidualLayerNorm(1e-12, 0.1, 2), ops.FeedForward("gelu")

    def construct(self, x: Tensor, w: Tensor, b: Tensor, mask: Tensor, key: Tensor) -> Tensor:
        q, k, v = self.project(x, w, b, w, b, w, b)
        y = self.finish(self.attend(q, k, v, mask, key), x, b, b, key)
        return (self.through(y, w, b, w, b) * x).sum()


def test_results_are_bit_identical_for_every_number_of_threads(native: None, graph_mode: None) -> None:
    x, w, b = tensors((3, 70, 64), (64, 64), (64,))
    mask, key = Tensor(np.ones((3, 70), np.int32)), Tensor(np.array([1, 2], np.int32))
    gradient = ms.value_and_grad(Everything().set_train(True), (0, 1, 2))
    results = []
    try:
        for threads in (1, 2, 3, 1):
            switch.set_threads(threads)
            loss, gradients = gradient(x, w, b, mask, key)
            results.append([loss.asnumpy(), *(g.asnumpy() for g in gradients)])
    finally:
        switch.set_threads(0)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


def test_more_padding_and_other_rows_change_no_bit_of_attention(native: None, graph_mode: None) -> None:
    q, k, v = (x.asnumpy() for x in tensors((2, 70, 64), (2, 150, 64), (2, 150, 64)))
    k *= np.linspace(0.1, 3, 150, dtype=np.float32)[:, None]  # the largest score changes again and again
    attend = ops.Attention(2)
    alone = attend(*map(Tensor, (q[1:], k[1:, :100], v[1:, :100])), Tensor(np.ones((1, 100), np.int32))).asnumpy()
    mask = np.ones((2, 150), np.int32)
    mask[1, 100:] = 0
    np.testing.assert_array_equal(attend(*map(Tensor, (q, k, v, mask))).asnumpy()[1:], alone)


def test_masks_of_numpy_mindspore_and_native_are_the_same_bits(native: None, graph_mode: None) -> None:
    seed, step, site, count, p = -3, 2**31 - 1, 40, 1003, 0.3
    expected = keep_mask(seed, step, site, count, p)
    key = Tensor(np.array([seed, step], np.int32))
    np.testing.assert_array_equal(KeepMask(p, site)(key, count).asnumpy(), expected)
    ones = Tensor(np.ones(count, np.float32))
    np.testing.assert_array_equal(ops.Dropout(p, site).set_train(True)(ones, key).asnumpy() != 0, expected)


def test_masks_keep_the_right_share_and_differ_by_step_site_and_seed() -> None:
    count, p = 200_000, 0.1
    masks = [keep_mask(*key, count, p) for key in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))]
    for mask in masks:
        assert mask.mean() == pytest.approx(1 - p, abs=5 * np.sqrt(p * (1 - p) / count))
    for i, first in enumerate(masks):
        assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.012
        for second in masks[i + 1 :]:
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.012


class Updates(nn.Cell):
    """AdamW and the global norm over a few parameters."""

    def __init__(self, shapes: list[tuple[int, ...]]):
        super().__init__()
        rng = np.random.default_rng(0)

        def slot(name: str, power: int) -> ParameterTuple:
            values = [rng.normal(size=shape).astype(np.float32) ** power for shape in shapes]
            return ParameterTuple([Parameter(value, name=f"{name}{i}") for i, value in enumerate(values)])

        self.p, self.m, self.v = slot("p", 1), slot("m", 1), slot("v", 2)
        self.update, self.norm = cells.adamw(), cells.global_norm()
        self.betas = Tensor(np.array([0.9, 0.99], np.float32))

    def construct(self, numbers: Tensor, *gradients: Tensor) -> Tensor:
        norm = self.norm(*gradients)
        done = self.update(
            numbers[0], numbers[1], numbers[2], numbers[3], self.betas, *self.p, *gradients, *self.m, *self.v
        )
        return msops.depend(norm, done)


def test_adamw_changes_parameters_and_moments_in_place(native: None, any_mode: str) -> None:
    shapes = [(7, 5), (70_001,), (3,)]
    cell = Updates(shapes)
    before = [[p.asnumpy().astype(float) for p in group] for group in (cell.p, cell.m, cell.v)]
    gradients = tensors(*shapes)
    factor, eps, rate, decay = 0.5, 1e-3, 0.1, 0.02
    norm = cell(Tensor(np.array([factor, eps, rate, decay], np.float32)), *gradients).asnumpy()
    exact = np.sqrt(sum((g.asnumpy().astype(float) ** 2).sum() for g in gradients))
    np.testing.assert_allclose(norm, exact, rtol=1e-6)
    for i, g in enumerate(gradients):
        d, (p, m, v) = g.asnumpy().astype(float) * factor, (group[i] for group in before)
        m, v = 0.9 * m + 0.1 * d, 0.99 * v + 0.01 * d * d
        p = p - rate * (m / (np.sqrt(v) + eps) + decay * p)
        for name, expected in (("p", p), ("m", m), ("v", v)):
            np.testing.assert_allclose(getattr(cell, name)[i].asnumpy(), expected, rtol=2e-5, atol=2e-6)


def test_off_uses_the_twins(monkeypatch: pytest.MonkeyPatch, graph_mode: None) -> None:
    monkeypatch.setenv("BERT_MS_KERNELS", "off")
    assert not switch.enabled()
    assert "BERT_MS_KERNELS=off" in switch.status()


def test_an_unknown_mode_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERT_MS_KERNELS", "onn")
    with pytest.raises(ConfigError, match="unknown value of BERT_MS_KERNELS 'onn': did you mean 'on'"):
        switch.enabled()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without compiler, which has never built anything."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    build.compiler.cache_clear()
    yield
    build.compiler.cache_clear()


def test_without_a_compiler_auto_goes_on_with_the_twins(
    no_compiler: None, monkeypatch: pytest.MonkeyPatch, graph_mode: None
) -> None:
    monkeypatch.setenv("BERT_MS_KERNELS", "auto")
    assert not switch.enabled()
    assert "C++ compiler" in switch.status()


def test_without_a_compiler_on_says_what_to_install(
    no_compiler: None, monkeypatch: pytest.MonkeyPatch, graph_mode: None
) -> None:
    monkeypatch.setenv("BERT_MS_KERNELS", "on")
    with pytest.raises(DeviceError, match="install g\\+\\+"):
        switch.enabled()


def test_a_compiler_that_fails_leaves_its_words_in_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, graph_mode: None
) -> None:
    script = tmp_path / "broken-cxx"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && echo broken 1.0 && exit 0\necho out of ideas >&2\nexit 3\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BERT_MS_KERNELS", "on")
    build.compiler.cache_clear()
    try:
        with pytest.raises(DeviceError, match=r"the reason is in .*build\.log"):
            switch.enabled()
    finally:
        build.compiler.cache_clear()
    logs = list(tmp_path.glob("cache/bert_ms/kernels/*/build.log"))
    assert len(logs) == 2  # with AMX, and without
    assert "out of ideas" in logs[0].read_text()


@pytest.mark.slow
def test_operators_without_amx_compute_the_same(native: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flags = (*build.FLAGS, "-DBERT_NO_AMX", "-march=x86-64-v3" if os.uname().machine == "x86_64" else "-O3")
    said = build._compile(build.compiler(), flags, tmp_path)
    made = tmp_path / "libbert_ms_kernels.so"
    assert made.is_file(), said
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).bert_self_test())"
    assert subprocess.run([sys.executable, "-c", code, str(made)], check=False).returncode == 0


def test_library_pages_come_back_by_themselves() -> None:
    assert drop_library_pages() >= 0
    assert np.linalg.norm(np.ones(4)) == 2.0


def test_a_network_built_while_disabled_uses_the_twins(native: None, graph_mode: None) -> None:
    with switch.disabled():
        assert ops.Linear().native is None
    assert ops.Linear().native is not None


def test_shapes_known_only_at_run_time_give_equal_results(native: None, graph_mode: None) -> None:
    x, w, b = tensors((2, 3, 8), (8, 8), (8,))
    linear = ops.Linear("gelu")
    expected = linear(x, w, b).asnumpy()
    dynamic = ops.Linear("gelu")
    dynamic.set_inputs(Tensor(shape=[None, None, 8], dtype=ms.float32), w, b)
    np.testing.assert_allclose(dynamic(x, w, b).asnumpy(), expected, rtol=1e-5, atol=1e-5)
