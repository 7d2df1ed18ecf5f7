"""Names of pretrained models, what is known of them, and where their files are on this machine."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bert_ms.checkpoint import manifest
from bert_ms.errors import CheckpointError, DependencyError, nearest, unknown
from bert_ms.hub import store

_FILE = Path(__file__).with_name("catalogue.yaml")
OWN = "BERT_MS_CATALOGUE"  # files of one's own, as PATH has folders
MAX_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Model:
    """One entry of the catalogue.

    Attributes:
        name: what users write.
        summary: one line.
        network: layers x width x heads.
        vocabulary: number of word pieces.
        casing: "lower" or "kept".
        licence: of the weights.
        origin: the page that offers them.
        form: of the published files.
        files: what a folder must hold to be this model; what a download fetches.
        sha256: file name -> hexadecimal digest.
        verified: what was seen to work with these very files.
        layout: what was seen to work with files of this layout.
        package: importable package that carries the files; it is found, never imported.
        folder: of the files, inside the package.
        install: the command that brings the package.
        path: a folder of this machine that holds the files (entries of one's own).
        url: the address below which the files lie (entries of one's own).
    """

    name: str
    summary: str
    network: str = ""
    vocabulary: str | int = ""
    casing: str = ""
    licence: str = ""
    origin: str = ""
    form: str = ""
    files: tuple[str, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    verified: str = ""
    layout: str = ""
    package: str = ""
    folder: str = ""
    install: str = ""
    path: str = ""
    url: str = ""


def models() -> Mapping[str, Model]:
    """Every model that has a name: the package's, those of one's own, which go before them, and those kept here.

    Raises:
        CheckpointError: a file of one's own that cannot be read, or an entry that cannot be used.
    """
    found = dict(_packaged())
    for file in own_files():
        found.update(read(file))
    for name in store.kept():
        found.setdefault(name, Model(name=name, summary="added on this machine"))
    return found


def own_files() -> list[Path]:
    """Catalogues of one's own: those that $BERT_MS_CATALOGUE names, else catalogue.yaml in the user's configuration."""
    named = os.environ.get(OWN)
    if named:
        return [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    usual = home / "bert_ms" / "catalogue.yaml"
    return [usual] if usual.is_file() else []


def read(file: Path) -> dict[str, Model]:
    """The entries of a catalogue.

    Raises:
        CheckpointError: it is missing or no YAML, or an entry has unknown keys or lacks what it needs.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{file} has {file.stat().st_size:,} bytes: it is no catalogue.")
        entries = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CheckpointError(f"the catalogue {file} cannot be read: {error}.") from None
    if not isinstance(entries, dict):
        raise CheckpointError(f"the catalogue {file} is no mapping of names to entries.")
    return {str(name): _entry(str(name), values, file) for name, values in entries.items()}


def _entry(name: str, values: Any, file: Path) -> Model:
    known = {f.name for f in dataclasses.fields(Model)} - {"name"}
    if not isinstance(values, dict) or not isinstance(values.get("summary"), str):
        raise CheckpointError(f"{file}: '{name}' has no summary: an entry is a mapping with one line of it at least.")
    wrong = [unknown("key", key, known) for key in values if key not in known]
    if wrong:
        raise CheckpointError(f"{file}, '{name}': {' '.join(wrong)}")
    if not store.is_name(name):
        raise CheckpointError(f"{file}: '{name}' is no name: expected letters, digits, and _ . - between them.")
    files = values.get("files") or ()
    if not all(isinstance(one, str) and store.is_name(one) for one in files):
        raise CheckpointError(f"{file}, '{name}': files is {files!r}: expected names of files, without folders.")
    path = values.get("path")
    if path:  # relative to the catalogue, so that both can be moved together
        values = {**values, "path": str((file.parent / Path(str(path)).expanduser()).resolve())}
    return Model(name=name, **{**values, "files": tuple(files)})


@lru_cache(maxsize=1)
def _packaged() -> Mapping[str, Model]:
    return read(_FILE)


def resolve(source: str | os.PathLike[str]) -> Path:
    """The directory or file that a source stands for.

    Args:
        source: a path, or a name of the catalogue.

    Raises:
        CheckpointError: it is neither, its files are not on this machine, or not what they should be.
        DependencyError: the package that carries a named model is not installed.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source):
        raise CheckpointError(f"the source is {source!r}: expected a directory, a file, or one of: {_named()}.")
    path = Path(source).expanduser()
    if path.exists() or path.with_name(f"{path.name}.index").is_file():  # the latter: a TensorFlow checkpoint's prefix
        return path
    text = os.fspath(source)
    known = models()
    if text in known:
        return here(known[text])
    if isinstance(source, os.PathLike) or os.sep in text or path.suffix:
        raise CheckpointError(f"{text} does not exist: give a directory, a file, or one of: {_named()}.")
    raise CheckpointError(f"{unknown_name(text)} There is no directory or file of this name either.")


def unknown_name(name: str) -> str:
    """One sentence for a name that is not in the catalogue: the nearest one, and those that can be used at once."""
    guess = nearest(name, models())
    return f"unknown model '{name}': {f'did you mean {guess!r}? ' if guess else ''}Ready: {_named()}."


def here(model: Model) -> Path:
    """The folder of a model on this machine.

    Raises:
        CheckpointError: its files are not here, or not what they should be; the text says how to bring them.
        DependencyError: the package that carries it is not installed.
    """
    if model.package:
        return _installed(model)
    if model.path:
        folder = Path(model.path)
        if not folder.exists():
            raise CheckpointError(f"model '{model.name}' should be in {folder}, which does not exist.")
        check(model, folder)
        return folder
    folder = store.folder(model.name)
    if folder.is_dir():
        return folder
    bring = f"bert-ms hub get {model.name}" if model.url else f"bert-ms hub add {model.name} DIR"
    where = f" Its files ({model.form}) come from {model.origin}." if model.origin else ""
    raise CheckpointError(f"model '{model.name}' is known, but not on this machine.{where} Bring them here: {bring}")


def is_here(model: Model) -> bool:
    """Whether a model's files are on this machine."""
    try:
        here(model)
    except (CheckpointError, DependencyError):
        return False
    return True


def check(model: Model, folder: Path) -> None:
    """Make sure that a folder holds a model's files.

    Raises:
        CheckpointError: one is missing, or has another sha256 than the catalogue's.
    """
    missing = [name for name in model.files if not (folder / name).exists()]
    if missing:
        raise CheckpointError(f"{folder} is not model '{model.name}': it has no {', '.join(missing)}.")
    for name, digest in model.sha256.items():
        _verify(folder / name, digest, model)


def _named() -> str:
    """The names that can be used at once, with how many more are known."""
    known = models()
    usable = [name for name, model in known.items() if model.package or model.path or store.folder(name).is_dir()]
    return f"{', '.join(usable)} ({len(known) - len(usable)} more are known: bert-ms hub list)"


def _installed(model: Model) -> Path:
    spec = importlib.util.find_spec(model.package)
    if spec is None or not spec.submodule_search_locations:
        raise DependencyError(f"model '{model.name}' is not installed. Run: {model.install}")
    folder = Path(next(iter(spec.submodule_search_locations))) / model.folder
    for name, digest in model.sha256.items():
        _verify(folder / name, digest, model)
    return folder


def _verify(file: Path, digest: str, model: Model) -> None:
    again = f"Install it again: {model.install}" if model.install else "Bring it again."
    if not file.is_file():
        raise CheckpointError(f"model '{model.name}': {file} is missing. {again}")
    stat = file.stat()
    if _digest(str(file), stat.st_size, stat.st_mtime_ns) != digest:
        raise CheckpointError(
            f"model '{model.name}': {file} has another sha256 than the catalogue's {digest[:16]}...: it was changed or "
            f"damaged. {again}"
        )


@lru_cache(maxsize=64)
def _digest(file: str, size: int, changed: int) -> str:
    """SHA-256 of a file, computed once as long as its size and time stay."""
    del size, changed
    return manifest.sha256(Path(file))
