"""The front process knows nothing of MindSpore: a frozen engine cannot freeze it."""

from __future__ import annotations

import subprocess
import sys

from tests.support import REPOSITORY

PROGRAM = """
import importlib, pkgutil, sys
import serving
from tests.serving.fakes import two_models
from serving.http import run
from serving.settings import ServerSettings
for module in pkgutil.walk_packages(serving.__path__, "serving."):
    if module.name not in ("serving.__main__", "serving.engine.child", "serving.engine.programs"):
        importlib.import_module(module.name)
client = serving.create_app(ServerSettings(), two_models()).test_client()
assert client.post("/api/v1/embed", json={"inputs": "a"}).status_code == 200
found = [name for name in sys.modules if name.split(".")[0] in ("mindspore", "torch", "onnxruntime", "matplotlib")]
assert not found, found
"""


def test_all_of_it_is_imported_without_mindspore() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
