"""`bert-ms serve`: models behind HTTP."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bert_ms import compat
from bert_ms.errors import ConfigError

# Options whose names are settings; the others are given by --set.
SETTINGS = (
    "host", "port", "admin_host", "admin_port", "api_keys_file", "admin_keys_file", "model_root", "device", "engine",
    "dtype", "threads", "max_batch_tokens", "max_body_bytes", "max_items", "max_inflight", "request_timeout",
    "drain_timeout", "compile_cache", "log_level", "log_format",
)  # fmt: skip


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to stop; with --dry-run say what would be served."""
    flags: dict[str, Any] = {name: getattr(arguments, name) for name in SETTINGS}
    for text in arguments.set:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set is '{text}': expected KEY=VALUE, for example idle_timeout=30.")
        flags[name.replace("-", "_")] = value
    resolving = application("resolving")
    settings = resolving.resolve(models=arguments.models, file=arguments.config, flags=flags)
    places = {spec.name: _found(spec) for spec in settings.specs()}  # a misspelt name ends here, not once a minute
    if arguments.dry_run:
        print(resolving.as_yaml(settings), end="")
        for name, place in places.items():
            print(f"# {name}: {place}")
        return 0
    if arguments.quiet and settings.log_level == "info":
        settings = settings.model_copy(update={"log_level": "warning"})
    elif not application("http.logs").is_json(settings, sys.stderr):
        print(resolving.as_yaml(settings), file=sys.stderr)
    code: int = application("http.run").serve(settings)
    return code


def application(name: str) -> ModuleType:
    """A module of the server: of the installed package, or of the checkout that this package stands in.

    Raises:
        DependencyError: the server, or what it is built on, is not installed.
    """
    for package in ("flask", "waitress", "pydantic", "prometheus_client", "orjson"):
        compat.require(package, extra="serve", purpose="serve models")
    try:
        return importlib.import_module(f"bert_ms_serving.{name}")
    except ModuleNotFoundError as error:
        if error.name != "bert_ms_serving":
            raise
    checkout = str(Path(__file__).resolve().parents[2])
    if checkout not in sys.path:
        sys.path.append(checkout)
    return importlib.import_module(f"serving.{name}")


def _found(spec: Any) -> str:
    """Where a model's files are.

    Raises:
        CheckpointError: there are none.
        DependencyError: the package that carries them is missing.
    """
    from bert_ms.hub import catalogue

    return f"{catalogue.resolve(spec.source)}"
