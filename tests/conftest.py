"""What every test gets: a quiet MindSpore, a working directory of its own, and the way to fixtures and real data."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")  # read once, when MindSpore is imported

import pytest

from tests import support
from tests.support import golden, shared_data

__all__ = ["golden", "shared_data"]


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a directory of its own: a failed graph compilation writes `rank_0/` where it stands."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """A command that is run in this process says less, or more; the tests after it hear what they always hear."""
    logger = logging.getLogger("bert_ms")
    level = logger.level
    yield
    logger.setLevel(level)


@pytest.fixture(name="golden")
def golden_fixture() -> Callable[[str], Path]:
    """`golden(name)`, for tests that take it as an argument."""
    return support.golden


@pytest.fixture(name="shared_data")
def shared_data_fixture() -> Callable[[str], Path]:
    """`shared_data(relative)`, for tests that take it as an argument."""
    return support.shared_data


@pytest.fixture
def graph_mode() -> Iterator[None]:
    """MindSpore on the CPU, compiling Cells to graphs; the mode found is put back afterwards."""
    yield from _in_mode(graph=True)


@pytest.fixture
def pynative_mode() -> Iterator[None]:
    """MindSpore on the CPU, running operator by operator; the mode found is put back afterwards."""
    yield from _in_mode(graph=False)


def _in_mode(*, graph: bool) -> Iterator[None]:
    from bert_ms import compat

    ms = compat.mindspore()
    before = ms.get_context("mode")
    compat.use_device("cpu", graph_mode=graph)
    yield
    ms.set_context(mode=before)
