"""Nobody imports upward, and MindSpore stays in the rooms that need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.house.layers import HEIGHT, LAYERS, imports, modules, room
from tests.support import REPOSITORY, shared_roots

MAY_IMPORT_MINDSPORE = (
    "bert_ms.model",
    "bert_ms.kernels",
    "bert_ms.data.mindrecord",
    "bert_ms.data.loader",
    "bert_ms.checkpoint",
    "bert_ms.training",
    "bert_ms.export",
    "bert_ms.hub.load",
    "bert_ms.pipelines",
    "bert_ms.compat",
    "serving.engine",
)
# Rooms that the design does not name.
ADDED = {"bert_ms.files", "bert_ms.tags", "bert_ms.client"}
# Entry points of rooms that are also used without MindSpore.
LIGHT = (
    "bert_ms",
    "bert_ms.checkpoint",
    "bert_ms.cli",
    "bert_ms.cli.runs",
    "bert_ms.client",
    "bert_ms.compat",
    "bert_ms.config",
    "bert_ms.config.loading",
    "bert_ms.data",
    "bert_ms.data.question_features",
    "bert_ms.data.squad",
    "bert_ms.decoding.question_answering",
    "bert_ms.decoding.tags",
    "bert_ms.errors",
    "bert_ms.hub",
    "bert_ms.hub.catalogue",
    "bert_ms.hub.convert",
    "bert_ms.kernels",
    "bert_ms.metrics.squad",
    "bert_ms.pipelines.loading",
    "bert_ms.records",
    "bert_ms.tags.viterbi",
    "bert_ms.tasks",
    "bert_ms.tasks.question_answering",
    "bert_ms.tasks.token_classification",
    "bert_ms.tokenization",
    "bert_ms.training",
    "bert_ms.training.launch",
)


def internal_imports() -> list[tuple[str, str]]:
    """(importing module, imported module) for every import between modules of ours."""
    known = modules()
    pairs = []
    for module, (path, is_package) in known.items():
        for name in imports(module, path, is_package):
            target = name
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target:
                pairs.append((module, target))
    return pairs


def test_the_walk_sees_the_package() -> None:
    assert len(modules()) > 50
    assert len(internal_imports()) > 100


def test_every_room_has_its_place() -> None:
    rooms = {room(module) for module in modules()} - {"bert_ms", "serving"}
    assert rooms <= set(HEIGHT)


def test_nobody_imports_upward_or_sideways() -> None:
    wrong = [
        f"{source} -> {target}"
        for source, target in internal_imports()
        if room(source) in HEIGHT
        and room(target) in HEIGHT
        and room(source) != room(target)
        and HEIGHT[room(target)] >= HEIGHT[room(source)]
    ]
    assert not wrong


def test_the_order_is_that_of_the_design() -> None:
    for root in shared_roots():
        file = root / "tools" / "layers.txt"
        if file.is_file():
            rows = [row.split("#")[0].split() for row in file.read_text().splitlines()]
            assert [set(row) for row in rows if row] == [set(row) - ADDED for row in LAYERS]
            return
    pytest.skip("tools/layers.txt of the shared folder is not here (set BERT_MS_SHARED)")


def test_only_the_rooms_that_need_it_import_mindspore() -> None:
    found = {
        module
        for module, (path, is_package) in modules().items()
        if any(name.split(".")[0] == "mindspore" for name in imports(module, path, is_package))
    }
    assert found, "nobody imports mindspore: the walk is broken"
    assert not [module for module in found if not module.startswith(MAY_IMPORT_MINDSPORE)]


def test_light_modules_do_not_bring_mindspore_along() -> None:
    program = (
        "import importlib, sys\n"
        f"for name in {LIGHT!r}:\n"
        "    importlib.import_module(name)\n"
        "    assert 'mindspore' not in sys.modules, f'{name} imports mindspore'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
