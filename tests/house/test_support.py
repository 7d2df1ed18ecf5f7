"""The fixtures' own promises."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import REPOSITORY, golden


def test_a_missing_fixture_is_named_in_the_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="golden fixture 'no_such_fixture' is in none of"):
        golden("no_such_fixture")


def test_each_test_runs_in_a_directory_of_its_own(tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path
    assert REPOSITORY not in tmp_path.parents


def test_mindspore_will_be_quiet() -> None:
    assert os.environ["GLOG_v"] == "3"


def test_the_mode_fixture_sets_graph_mode(graph_mode: None) -> None:
    from bert_ms import compat

    ms = compat.mindspore()
    assert ms.get_context("mode") == ms.GRAPH_MODE
