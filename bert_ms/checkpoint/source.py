"""Find the weights, configuration and vocabulary that a path stands for."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bert_ms.checkpoint import manifest, readers, tensorflow_files
from bert_ms.checkpoint.weights import Entry, Weights
from bert_ms.errors import CheckpointError

CONFIG_NAMES = ("config.json", "bert_config.json")
PREFERRED = ("model.safetensors", "pytorch_model.bin")  # training puts more PyTorch files beside the latter
INDEX_SUFFIXES = (".safetensors.index.json", ".bin.index.json")  # the first goes before the second
MAX_INDEX_BYTES = 64 << 20
EXPORTED = "export.json"  # the record of an exported folder, see bert_ms.export.folder
_GRAPH_SUFFIXES = (".onnx", ".mindir", ".air")
_TEXT_SUFFIXES = (".json", ".txt", ".md", ".yaml", ".yml", ".npz", ".npy", ".py", ".jsonl", ".log", ".png", ".html")
_WEIGHT_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".safetensors", ".h5", ".params")


@dataclass(frozen=True)
class Source:
    """What belongs together on disk.

    Attributes:
        path: as the caller named it.
        weights: the file with the weights, or the index of a sharded checkpoint.
        directory: where configuration and vocabulary are looked for.
        config: configuration file, if there is one.
        manifest: what `save` wrote beside the weights, if it did.
    """

    path: Path
    weights: Path
    directory: Path
    config: Path | None
    manifest: manifest.Manifest | None


def locate(path: str | os.PathLike[str]) -> Source:
    """Find what to read for a directory or a single file.

    Raises:
        CheckpointError: nothing is there, no weights are among the files, several are, or a link leads out.
    """
    given = Path(path).expanduser()
    given = tensorflow_files.index_of(given) or given
    if not given.exists():
        raise CheckpointError(f"{given} does not exist: name a weights file, or a directory with one.")
    _refuse_exported(given)
    if given.is_dir():
        found = _manifest(given / manifest.FILE_NAME)
        weights = _inside(given, found.weights) if found else _weights_in(given)
        return Source(given, weights, given, _config_in(given), found or _manifest(manifest.beside(weights)))
    if not given.is_file():
        raise CheckpointError(f"{given} is neither a file nor a directory.")
    return Source(given, given, given.parent, _config_in(given.parent), _manifest(manifest.beside(given)))


def _refuse_exported(given: Path) -> None:
    """Say what is different about a network that was exported, rather than that it has no weights."""
    if (given / EXPORTED).is_file() or (given.is_file() and given.suffix in _GRAPH_SUFFIXES):
        raise CheckpointError(
            f"{given} is an exported network: it answers (bert-ms predict, evaluate, bert_ms.pipeline, each given its "
            f"folder), but holds no weights to train or convert. Name the checkpoint that it was made of."
        )


def read_weights(source: Source) -> Weights:
    """The tensors of a source, sharded or not.

    Raises:
        CheckpointError: a file is broken, or an index and its shards do not fit together.
    """
    if source.weights.name.endswith(".index.json"):
        return _read_sharded(source.weights)
    weights = readers.read_file(source.weights)
    for shard in weights.files[1:]:
        _inside(shard.parent, shard.name)
    return weights


def _manifest(path: Path) -> manifest.Manifest | None:
    return manifest.read(path) if path.is_file() else None


def _config_in(directory: Path) -> Path | None:
    return next((directory / name for name in CONFIG_NAMES if (directory / name).is_file()), None)


def _weights_in(directory: Path) -> Path:
    """The one file (or index) in a directory that holds the weights, told by content."""
    files = sorted(p for p in directory.iterdir() if p.is_file() and not p.name.startswith("."))
    indices = [p for p in files if p.name.endswith(INDEX_SUFFIXES)]
    indices = [p for p in indices if p.name.endswith(INDEX_SUFFIXES[0])] or indices
    preferred = [name for name in PREFERRED if (directory / name).is_file()]
    if preferred:
        return _inside(directory, preferred[0])
    if len(indices) == 1:
        return _inside(directory, indices[0].name)
    candidates = [p for p in files if p.suffix not in _TEXT_SUFFIXES and not tensorflow_files.is_part(p)]
    at_home = [p for p in candidates if p.suffix in _WEIGHT_SUFFIXES or not leads_out(directory, p)]
    readable = [p.name for p in at_home if p.stat().st_size and readers.sniff(_inside(directory, p.name))]
    index = tensorflow_files.in_directory(directory)
    readable += [index.name] if index else []
    if len(readable) == 1:
        return _inside(directory, readable[0])
    if readable:
        raise CheckpointError(f"{directory} holds several weights files ({', '.join(readable)}): name the one meant.")
    nested = tensorflow_files.below(directory)
    if nested:
        _inside(directory, nested.relative_to(directory).parts[0])
        return _inside(nested.parent, nested.name)
    suspects = [p for p in candidates if p.suffix in _WEIGHT_SUFFIXES]
    if suspects:
        return _inside(directory, suspects[0].name)  # reading it says what is wrong with it
    shown = ", ".join(p.name for p in files[:8]) or "no files"
    known = ", ".join(readers.NAMES)
    raise CheckpointError(f"{directory} holds no weights ({shown}): expected one of {known}, by whatever name.")


def _inside(directory: Path, name: str) -> Path:
    """`directory / name`, refused if it, or what it links to, is elsewhere.

    Links from `snapshots/REVISION/` into `blobs/` beside it are the layout of Hugging Face's own cache.
    """
    if not name or name != Path(name).name or name in (".", ".."):
        raise CheckpointError(f"{directory}: '{name}' is not the name of a file in this directory; it is not followed.")
    file = directory / name
    if not file.exists():
        raise CheckpointError(f"{directory}: '{name}' is named, but is not there.")
    if leads_out(directory, file):
        raise CheckpointError(
            f"{file} links out of its directory, to {file.resolve()}; it is not followed. Name that file, or copy it "
            f"here."
        )
    return file


def leads_out(directory: Path, file: Path) -> bool:
    """Whether a file, or what it links to, is elsewhere than in a directory or in Hugging Face's cache around it."""
    real, home = file.resolve(), directory.resolve()
    is_cache_blob = home.parent.name == "snapshots" and real.parent == home.parent.parent / "blobs"
    return real.parent != home and not is_cache_blob


def _read_sharded(index: Path) -> Weights:
    names = _weight_map(index)
    shards = {file: readers.read_file(_inside(index.parent, file)) for file in sorted(set(names.values()))}
    entries: dict[str, Entry] = {}
    for name, file in names.items():
        if name not in shards[file].entries:
            raise CheckpointError(f"{index} says that '{name}' is in {file}, but it is not: another model's shard?")
        entries[name] = shards[file].entries[name]
    extra = sorted(name for shard in shards.values() for name in shard.entries if name not in entries)
    if extra:
        raise CheckpointError(f"{index} does not list {len(extra)} tensors of its shards, among them '{extra[0]}'.")
    files = tuple(path for shard in shards.values() for path in shard.files)
    return Weights(entries=entries, format=f"sharded {next(iter(shards.values())).format}", files=files)


def _weight_map(index: Path) -> dict[str, str]:
    if index.stat().st_size > MAX_INDEX_BYTES:
        raise CheckpointError(f"{index} has {index.stat().st_size} bytes; an index has at most {MAX_INDEX_BYTES}.")
    try:
        content: Any = json.loads(index.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{index} is not valid JSON: {error}.") from None
    names = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(v, str) for v in names.values()):
        raise CheckpointError(f"{index} has no weight_map of tensor names to file names.")
    return names
