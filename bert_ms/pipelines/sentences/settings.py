"""How a source wants its sentences encoded, where it says so in the files of sentence-transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bert_ms.errors import CheckpointError

_MODULES, _LENGTH, _PROMPTS = "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}
MAX_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SentenceSettings:
    """What a source says.

    Attributes:
        pooling: see `model.pooling`.
        normalize: vectors have length 1.
        max_length: longest text in tokens; None where it does not say.
        prompts: texts to begin with, by name.
        default_prompt: name of the one that is taken where nothing is said.
    """

    pooling: str = "mean"
    normalize: bool = True
    max_length: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None


def read_settings(directory: Path) -> SentenceSettings:
    """The settings in a directory of sentence-transformers; the usual ones for any other.

    Raises:
        CheckpointError: a file that cannot be read, or modules that are not built here (a dense layer, say), without
            which vectors would be others than the source's.
    """
    if not (directory / _MODULES).is_file():
        return SentenceSettings()
    modules = _read(directory / _MODULES)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise CheckpointError(f"{directory / _MODULES}: expected a list of modules.")
    kinds = [str(module.get("type", "")).rsplit(".", 1)[-1] for module in modules]
    unbuilt = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize")]
    if unbuilt:
        raise CheckpointError(
            f"{directory / _MODULES} asks for {', '.join(unbuilt)}, not built here: vectors would be others."
        )
    pooling = "mean"
    for module, kind in zip(modules, kinds, strict=True):
        if kind == "Pooling":
            pooling = _pooling(_inside(directory, module.get("path", "")) / "config.json")
    length = _mapping(directory / _LENGTH).get("max_seq_length")
    prompts = _mapping(directory / _PROMPTS)
    named = prompts.get("prompts") or {}
    if not isinstance(named, dict) or not all(isinstance(text, str) for text in named.values()):
        raise CheckpointError(f"{directory / _PROMPTS}: prompts is no mapping of names to texts.")
    return SentenceSettings(
        pooling=pooling,
        normalize="Normalize" in kinds,
        max_length=length if isinstance(length, int) and length > 0 else None,
        prompts=named,
        default_prompt=prompts.get("default_prompt_name"),
    )


def take_along(source: Path, destination: Path) -> None:
    """Copy the files that `read_settings` reads from one directory into another, where there are any.

    Raises:
        CheckpointError: see `read_settings`.
    """
    if not (source / _MODULES).is_file():
        return
    read_settings(source)  # what cannot be used is refused here, and every path is known to stay inside
    poolings = [module.get("path", "") for module in _read(source / _MODULES) if "Pooling" in str(module.get("type"))]
    for name in (_MODULES, _LENGTH, _PROMPTS, *(f"{path}/config.json" for path in poolings)):
        if (source / name).is_file():
            (destination / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source / name, destination / name)


def _pooling(path: Path) -> str:
    modes = [name for name, value in _mapping(path).items() if name.startswith("pooling_mode_") and value is True]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        known = ", ".join(_POOLINGS)
        raise CheckpointError(f"{path}: pools by {', '.join(modes) or 'nothing'}: expected one of {known}.")
    return _POOLINGS[modes[0]]


def _inside(directory: Path, name: Any) -> Path:
    if not isinstance(name, str) or name != Path(name).name:
        raise CheckpointError(f"{directory / _MODULES}: {name!r} is no folder in this directory; it is not followed.")
    return directory / name


def _mapping(path: Path) -> Mapping[str, Any]:
    found = _read(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: expected a mapping.")
    return found


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes: expected at most {MAX_BYTES:,}.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
