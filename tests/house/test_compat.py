"""What is said of packages and devices that are not there, and what MindSpore is told once only."""

from __future__ import annotations

import types
from typing import Any

import pytest

from bert_ms import compat
from bert_ms.errors import DependencyError


@pytest.mark.parametrize("extra", [None, "serve"])
def test_a_missing_package_is_named_with_a_command_that_works(extra: str | None) -> None:
    """This package itself is not on an index: `pip install 'bert-ms[serve]'` would find nothing."""
    with pytest.raises(
        DependencyError, match=r"nowhere_to_be_found is needed to serve.*pip install nowhere_to"
    ) as error:
        compat.require("nowhere_to_be_found.part", extra=extra, purpose="serve")
    assert "pip install 'bert-ms" not in str(error.value)


def test_threads_are_set_once_a_process(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """MindSpore raises when it hears of them again, as a second run in the same process would have it."""
    told: list[Any] = []
    tuning = types.SimpleNamespace(threads_num=told.append)
    fake = types.SimpleNamespace(
        set_cpu_affinity=told.append,
        device_context=types.SimpleNamespace(cpu=types.SimpleNamespace(op_tuning=tuning)),
    )
    monkeypatch.setattr(compat, "_THREADS", [])
    for threads in (2, 2, 4):
        compat._set_threads(fake, threads)
    assert told == [False, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "this process already runs with threads=2: 4 takes a new process."
    ]
