"""The order of the rooms, lowest first, and the imports that a module runs when it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support import REPOSITORY

# Rooms on one line are siblings and do not import each other.
LAYERS = (
    ("bert_ms.errors",),
    ("bert_ms.records", "bert_ms.compat", "bert_ms.files", "bert_ms.tags", "bert_ms.client"),
    ("bert_ms.config",),
    ("bert_ms.kernels",),
    ("bert_ms.tokenization", "bert_ms.model", "bert_ms.decoding", "bert_ms.metrics"),
    ("bert_ms.data", "bert_ms.checkpoint"),
    ("bert_ms.tasks",),
    ("bert_ms.hub", "bert_ms.training", "bert_ms.export"),
    ("bert_ms.pipelines",),
    ("serving",),
    ("bert_ms.cli",),
)
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}


def modules() -> dict[str, tuple[Path, bool]]:
    """Every module of the package by its dotted name, with whether it is a package."""
    found = {}
    for package in ("bert_ms", "serving"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = (path, name.endswith(".__init__"))
    return found


def room(module: str) -> str:
    """`bert_ms.model` of `bert_ms.model.attention`; the application `serving` is one room."""
    return ".".join(module.split(".")[: 1 if module.startswith("serving") else 2])


def imports(module: str, path: Path, is_package: bool) -> set[str]:
    """Absolute dotted names that a module imports when it is imported."""
    anchor = module.split(".") if is_package else module.split(".")[:-1]
    names: set[str] = set()
    for node in _at_import(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = anchor[: len(anchor) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{stem}.{alias.name}" for alias in node.names)
    return names


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run on import: not function bodies, nor blocks for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_import(child)
