"""Names of pretrained models, and where their files are on this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml

from bert_ms.checkpoint import manifest
from bert_ms.errors import CheckpointError, DependencyError, unknown

_FILE = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the catalogue.

    Attributes:
        name: what users write.
        summary: one line.
        package: importable package that carries the files; it is found, never imported.
        folder: of the files, inside the package.
        install: the command that brings the package.
        sha256: file name -> hexadecimal digest.
        casing: "lower" or "kept".
        licence: of the weights.
        origin: where they come from.
    """

    name: str
    summary: str
    package: str
    folder: str
    install: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    casing: str = ""
    licence: str = ""
    origin: str = ""


@lru_cache(maxsize=1)
def models() -> Mapping[str, Model]:
    """Every model that has a name."""
    entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: Model(name=name, **fields) for name, fields in entries.items()}


def resolve(source: str | os.PathLike[str]) -> Path:
    """The directory or file that a source stands for.

    Args:
        source: a path, or a name of the catalogue.

    Raises:
        CheckpointError: it is neither, or the files of that name are not what they should be.
        DependencyError: the package that carries a named model is not installed.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        names = ", ".join(models())
        raise CheckpointError(f"the source is {source!r}: expected a directory, a file, or one of: {names}.")
    path = Path(source).expanduser()
    if path.exists() or path.with_name(f"{path.name}.index").is_file():  # the latter: a TensorFlow checkpoint's prefix
        return path
    text = os.fspath(source)
    if text in models():
        return _installed(models()[text])
    if isinstance(source, os.PathLike) or os.sep in text or path.suffix:
        raise CheckpointError(f"{text} does not exist: give a directory, a file, or one of: {', '.join(models())}.")
    raise CheckpointError(f"{unknown('model', text, models())} There is no directory or file of this name either.")


def _installed(model: Model) -> Path:
    spec = importlib.util.find_spec(model.package)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(f"model '{model.name}' is not installed. Run: {model.install}")
    folder = Path(next(iter(spec.submodule_search_locations))) / model.folder
    for name, digest in model.sha256.items():
        _verify(folder / name, digest, model)
    return folder


def _verify(file: Path, digest: str, model: Model) -> None:
    if not file.is_file():
        raise CheckpointError(f"model '{model.name}': {file} is missing. Install it again: {model.install}")
    stat = file.stat()
    if _digest(str(file), stat.st_size, stat.st_mtime_ns) != digest:
        raise CheckpointError(
            f"model '{model.name}': {file} has another sha256 than the catalogue's {digest[:16]}...: it was changed or "
            f"damaged. Install it again: {model.install}"
        )


@lru_cache(maxsize=64)
def _digest(file: str, size: int, changed: int) -> str:
    """SHA-256 of a file, computed once as long as its size and time stay."""
    del size, changed
    return manifest.sha256(Path(file))
