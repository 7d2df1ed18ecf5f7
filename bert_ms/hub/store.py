"""The folder where named models are kept: added from elsewhere on this machine or downloaded, whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import filelock

from bert_ms.checkpoint import manifest
from bert_ms.errors import CheckpointError

HOME = "BERT_MS_MODELS"
RECORD = ".files.json"
MAX_GIGABYTES = 20.0
_OF_A_RUN = "resolved_config.yaml"  # a folder that has it is that of a run
_OF_TRAINING = ("checkpoints", "tensorboard")  # its folders that no model needs
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_WAIT_SECONDS = 3600


def is_name(text: str) -> bool:
    """Whether a text can be the name of a model or of one of its files: no path, nothing hidden."""
    return _NAME.fullmatch(text) is not None


def home() -> Path:
    """Where models are kept: $BERT_MS_MODELS, else `models` in $BERT_MS_CACHE or in the user's cache directory."""
    if own := os.environ.get(HOME):
        return Path(own).expanduser()
    cache = os.environ.get("BERT_MS_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert_ms"
    return (Path(cache) if cache else user) / "models"


def folder(name: str) -> Path:
    """Where a model is kept, whether or not it is there."""
    return home() / name


def kept() -> list[str]:
    """Names of the models that are kept here."""
    place = home()
    if not place.is_dir():
        return []
    return sorted(path.name for path in place.iterdir() if is_name(path.name) and path.is_dir())


@contextmanager
def placing(name: str) -> Iterator[Path]:
    """A scratch folder whose files become model `name` when the block ends well; others wait until then.

    The scratch folder stays when it does not, so that a download can go on.

    Raises:
        CheckpointError: the model is there already, another process does not let go of it, or the disk is full.
    """
    target = folder(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.parent / f".{name}.lock", timeout=_WAIT_SECONDS):
            if target.exists():
                raise CheckpointError(f"model '{name}' is in {target} already: bert-ms hub remove {name} deletes it.")
            scratch = target.parent / f".{name}.part"
            scratch.mkdir(exist_ok=True)
            yield scratch
            files = sorted(path for path in scratch.rglob("*") if path.is_file())
            digests = {path.relative_to(scratch).as_posix(): manifest.sha256(path) for path in files}
            (scratch / RECORD).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")
            os.replace(scratch, target)
    except filelock.Timeout:
        raise CheckpointError(f"another process has been bringing model '{name}' for an hour: end it first.") from None
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror or error}.") from error


def add(name: str, source: Path) -> Path:
    """Keep the files of a folder as model `name`; folders in it come along, links do not.

    Of a run's folder what only its training needs stays behind: its checkpoints with their optimizers' state.

    Raises:
        CheckpointError: it is no folder, too large, or links out of itself.
    """
    if not source.is_dir():
        raise CheckpointError(f"{source} is no folder: name the one that holds the model's files.")
    left = _OF_TRAINING if (source / _OF_A_RUN).is_file() else ()
    paths = (path for path in sorted(source.rglob("*")) if path.relative_to(source).parts[0] not in left)
    files = [path for path in paths if path.is_file()]
    home_of_files = source.resolve()
    for path in files:
        if home_of_files not in path.resolve().parents:
            raise CheckpointError(f"{path} links out of {source}: it is not followed. Copy the file there.")
    size = sum(path.stat().st_size for path in files)
    if size > MAX_GIGABYTES * 1e9:
        raise CheckpointError(f"{source} has {size / 1e9:.1f} GB, at most {MAX_GIGABYTES:g} expected: the right one?")
    with placing(name) as scratch:
        free = shutil.disk_usage(scratch).free
        if free < size:
            raise CheckpointError(f"{scratch.parent}: {size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free.")
        for path in scratch.iterdir():  # of another folder, perhaps, whose copying was interrupted
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in files:
            copy = scratch / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return folder(name)


def recorded(name: str) -> Mapping[str, str]:
    """sha256 by file of a kept model, as it was when it was placed.

    Raises:
        CheckpointError: there is no record, or none that can be read.
    """
    path = folder(name) / RECORD
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): remove the model and bring it again.") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise CheckpointError(f"{path} is no record of files: remove the model and bring it again.")
    return found


def verify(name: str) -> int:
    """Compare every file of a kept model with what was placed; gives their number.

    Raises:
        CheckpointError: a file is missing or has changed.
    """
    files = recorded(name)
    for file, digest in files.items():
        path = folder(name) / file
        if not path.is_file() or manifest.sha256(path) != digest:
            state = "has changed" if path.is_file() else "is missing"
            raise CheckpointError(f"model '{name}': {path} {state} since it was placed: remove it, and bring it again.")
    return len(files)


def remove(name: str) -> None:
    """Delete a kept model.

    Raises:
        CheckpointError: it is not kept here.
    """
    if not is_name(name) or not folder(name).is_dir():
        raise CheckpointError(f"no model '{name}' is kept in {home()}.")
    shutil.rmtree(folder(name))
