"""Native operators and their twins, in both modes."""

from __future__ import annotations

import pytest

from bert_ms.kernels import build


@pytest.fixture(params=["on", "off"], ids=["native", "twin"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """BERT_MS_KERNELS, for Cells that the test builds."""
    if request.param == "on" and build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    monkeypatch.setenv("BERT_MS_KERNELS", request.param)
    return request.param


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Native operators, or a skip where they cannot be built."""
    if build.compiler() is None:
        pytest.skip("there is no C++ compiler ($CXX, g++, clang++ or ziglang)")
    monkeypatch.setenv("BERT_MS_KERNELS", "on")


@pytest.fixture(params=["graph_mode", "pynative_mode"])
def any_mode(request: pytest.FixtureRequest) -> str:
    """Graph mode, then PyNative."""
    request.getfixturevalue(request.param)
    return request.param
