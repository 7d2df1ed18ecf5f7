"""Save a network, or copy a checkpoint, in any format that is written; configuration and vocabulary go along."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bert_ms import __version__
from bert_ms.checkpoint import manifest, names, staging, tensorflow_files, tensorflow_writer, writers
from bert_ms.checkpoint.companions import TOKENIZER_FILES, take_along
from bert_ms.checkpoint.opened import Checkpoint, bare
from bert_ms.checkpoint.weights import STORED_TYPES, Entry
from bert_ms.config import CRF_STATES, INT8, BertConfig
from bert_ms.errors import CheckpointError, unknown

logger = logging.getLogger(__name__)

SUFFIXES = (".ckpt", ".safetensors")
_SUFFIXES_OF_OTHERS = (".bin", ".pt", ".pth", ".params", ".h5", ".onnx", ".mindir", ".index")
INDEX_SUFFIX = ".index"
_ROOM = 1 << 20  # for the small files
_GOOGLE_EPSILON = 1e-12


class SavesItself(Protocol):
    """A tokenizer, as far as this room knows one."""

    def save(self, directory: Any) -> Any:
        """Write its files into a directory."""


@dataclass(frozen=True)
class _Format:
    """A way to write.

    Attributes:
        file_name: of the weights in a directory.
        table: of the names.
        write: the weights.
        refuses: why a network cannot be written, or None if it can.
        add: writes what else a directory of this kind has, beside the file of the weights.
        suffixes: of a single file that may be asked for.
        added_suffix: what the name of the file that is written then has after that.
    """

    file_name: str
    table: Callable[[BertConfig], names.NameTable]
    write: Callable[[Path, Mapping[str, Entry]], None]
    refuses: Callable[[BertConfig], str | None]
    add: Callable[[Path, BertConfig], None] = lambda _file, _config: None
    suffixes: tuple[str, ...] = SUFFIXES
    added_suffix: str = ""


def _no_objection(_config: BertConfig) -> str | None:
    return None


def _hugging_face_objection(config: BertConfig) -> str | None:
    if config.relative_position == "learned":
        return "Hugging Face's Nezha has sinusoids, no learned table"
    return None


def _zoo_objection(config: BertConfig) -> str | None:
    if config.relative_position == "sinusoid":
        return "the model zoo's NEZHA has a learned table, no sinusoids"
    if config.position_embedding_type != "absolute":
        return f"the model zoo has no position_embedding_type '{config.position_embedding_type}'"
    return None


def _add_google_files(index: Path, config: BertConfig) -> None:
    """What google's code looks for beside the weights; its configuration cannot say all that ours does."""
    (index.parent / tensorflow_files.STATE).write_text(tensorflow_writer.state_of(index), encoding="utf-8")
    text = json.dumps(config.to_google(), indent=2, sort_keys=True)
    (index.parent / "bert_config.json").write_text(text + "\n", encoding="utf-8")
    if config.hidden_act == "gelu" or config.layer_norm_eps != _GOOGLE_EPSILON:
        logger.warning(
            "google's code has GELU by tanh and layer_norm_eps %s; these weights are for %s and %s: its outputs will "
            "differ a little from theirs (config.json beside it says what is right)",
            _GOOGLE_EPSILON,
            "GELU by erf" if config.hidden_act == "gelu" else config.hidden_act,
            config.layer_norm_eps,
        )


def _hugging_face_table(config: BertConfig) -> names.NameTable:
    return names.HUGGING_FACE if config.relative_position == "none" else names.HUGGING_FACE_NEZHA


FORMATS: dict[str, _Format] = {
    "mindspore": _Format(
        "model.ckpt",
        lambda _: names.OURS,
        lambda path, tensors: writers.write_ckpt(path, tensors, with_checksum=True),
        _no_objection,
    ),
    "safetensors": _Format(
        "model.safetensors",
        _hugging_face_table,
        lambda path, tensors: writers.write_safetensors(path, tensors, texts={"format": "pt"}),
        _hugging_face_objection,
    ),
    "modelzoo": _Format(
        "bert.ckpt",
        lambda _: names.MODEL_ZOO,
        lambda path, tensors: writers.write_ckpt(path, tensors, with_checksum=False),
        _zoo_objection,
    ),
    "tf1": _Format(
        "bert_model.ckpt" + INDEX_SUFFIX,
        lambda _: names.GOOGLE,
        tensorflow_writer.write_bundle,
        BertConfig.google_objection,
        add=_add_google_files,
        suffixes=(".ckpt",),
        added_suffix=INDEX_SUFFIX,
    ),
}


def save(
    cell: Any,
    destination: str | os.PathLike[str],
    *,
    format: str = "mindspore",
    file_name: str | None = None,
    tokenizer: SavesItself | None = None,
    companions: str | os.PathLike[str] | None = None,
) -> Path:
    """Write a network's weights with all that is needed to use them again.

    Args:
        cell: a Cell with a `config`, whose parameter paths are our names.
        destination: a directory (weights, config.json, tokenizer files, bert_ms.json), or a file name that ends in
            .ckpt or .safetensors (the weights, and beside them a .json with configuration and checksum).
        format: "mindspore" (our names), "safetensors" (Hugging Face's names), "modelzoo" (the zoo's names) or "tf1"
            (google's names; the file name is then the prefix of an index and a shard).
        file_name: of the weights in a directory; None takes the format's own.
        tokenizer: written into the directory.
        companions: a directory whose tokenizer files are copied, where there is no `tokenizer`.

    Returns:
        The weights file.

    Raises:
        CheckpointError: the format cannot hold this network (one with adapters, or of dtype int8, has no place in any),
            or the destination cannot be written.
    """
    parameters = {path: parameter for path, parameter in cell.parameters_and_names()}
    if any(".adapter." in path for path in parameters):
        raise CheckpointError(
            f"{type(cell).__name__} has LoRA adapters, for which no format has a place: bert_ms.merge_adapter(cell) "
            f"first, or save them alone by bert_ms.save_adapter."
        )
    if any(f".whole.{INT8}." in f".{path}" for path in parameters):
        raise CheckpointError(
            f"{type(cell).__name__} is of dtype int8, and the float32 weights of its layers were given up when it was "
            f"loaded: load it without dtype, and save that."
        )
    entries = {name: _live_entry(parameters[path]) for name, path in bare(parameters).items()}
    return write(
        entries,
        cell.config,
        destination,
        format=format,
        file_name=file_name,
        tokenizer=tokenizer,
        companions=companions,
    )


def copy(
    checkpoint: Checkpoint, destination: str | os.PathLike[str], *, format: str, file_name: str | None = None
) -> Path:
    """Write an opened checkpoint in another format, tensor by tensor; tokenizer files go along. See `save`.

    Raises:
        CheckpointError: also where the destination is one of the files that are read, or the folder that they are in,
            whose configuration and manifest would be replaced.
    """
    target = Path(destination).expanduser()
    meant = tensorflow_files.index_of(target) or target
    own = (*checkpoint.weights.files, checkpoint.source.directory)
    if any(meant.exists() and meant.samefile(path) for path in own):
        raise CheckpointError(f"{target} is the source itself, which is left as it is: name another destination.")
    config, labels = checkpoint.config, checkpoint.shapes.get("classifier.weight")
    if config.num_labels is None and labels is not None:
        config = dataclasses.replace(config, num_labels=labels[0] - CRF_STATES * config.has_crf)
    config = dataclasses.replace(config, task=checkpoint.task, add_pooler="pooler.dense.weight" in checkpoint.entries)
    return write(
        checkpoint.entries,
        config,
        destination,
        format=format,
        file_name=file_name,
        companions=checkpoint.source.directory,
    )


def write(
    entries: Mapping[str, Entry],
    config: BertConfig,
    destination: str | os.PathLike[str],
    *,
    format: str,
    file_name: str | None = None,
    tokenizer: SavesItself | None = None,
    companions: str | os.PathLike[str] | None = None,
) -> Path:
    """Write tensors under our bare names in a format; see `save`."""
    if format not in FORMATS:
        raise CheckpointError(unknown("format", format, FORMATS))
    chosen = FORMATS[format]
    objection = chosen.refuses(config)
    if objection:
        raise CheckpointError(f"this network cannot be written as '{format}': {objection}. Write 'mindspore' instead.")
    tensors = _foreign(entries, chosen.table(config))
    target = Path(destination).expanduser()
    is_file = target.suffix in SUFFIXES and not target.is_dir()
    is_others = target.suffix in _SUFFIXES_OF_OTHERS and not target.is_dir()
    is_wrong_file = is_others or (is_file and target.suffix not in chosen.suffixes)
    if is_wrong_file or (target.exists() and not (is_file or target.is_dir())):
        kind = "a file" if target.exists() else f"no name for '{format}'"
        names_of_files = " or ".join(chosen.suffixes)
        raise CheckpointError(f"{target} is {kind}: name a directory, or a file name in {names_of_files}.")
    directory, file_name = target, file_name or chosen.file_name
    if is_file:
        directory, file_name = target.parent, target.name + chosen.added_suffix
    sidecar = manifest.beside(Path(file_name)).name if is_file else manifest.FILE_NAME
    needed = sum(writers.size_of(entry) for entry in entries.values()) + _ROOM
    with staging.staged(directory, needed_bytes=needed, last=sidecar) as scratch:
        chosen.write(scratch / file_name, tensors)
        if not is_file:
            text = json.dumps(config.to_dict(), indent=2, sort_keys=True)
            (scratch / "config.json").write_text(text + "\n", encoding="utf-8")
            chosen.add(scratch / file_name, config)
        _add_tokenizer(scratch, directory, tokenizer, companions, may_replace=not is_file)
        manifest.Manifest(
            weights=file_name,
            format=format,
            sha256={p.name: manifest.sha256(p) for p in sorted(scratch.iterdir())},
            config=config.to_dict() if is_file else None,
            task=config.task,
            bert_ms_version=__version__,
        ).write(scratch / sidecar)
    return directory / file_name


def _foreign(entries: Mapping[str, Entry], table: names.NameTable) -> dict[str, Entry]:
    written = table.names_of(entries)
    tensors = {
        found.name: entries[ours].transposed() if found.is_transposed else entries[ours]
        for ours, found in written.items()
    }
    if table in (names.HUGGING_FACE, names.HUGGING_FACE_NEZHA) and "predictions.decoder.weight" in entries:
        tensors["cls.predictions.decoder.bias"] = entries["predictions.bias"]  # an untied decoder's bias has two names
    return tensors


def _add_tokenizer(
    scratch: Path, directory: Path, tokenizer: SavesItself | None, companions: Any, *, may_replace: bool
) -> None:
    """Put tokenizer files among those to be moved; beside a single file, never over another one's."""
    if tokenizer is not None:
        tokenizer.save(scratch)
    elif companions is not None and Path(companions).resolve() != directory.resolve():
        take_along(Path(companions), scratch)
    for name in TOKENIZER_FILES:
        new, old = scratch / name, directory / name
        if not may_replace and new.is_file() and old.is_file():
            if new.read_bytes() != old.read_bytes():
                logger.warning("%s belongs to other weights and is kept: save into a directory of its own", old)
            new.unlink()


def _live_entry(parameter: Any) -> Entry:
    """A parameter of a network, read when it is written."""
    dtype = str(parameter.dtype).lower()
    if dtype not in STORED_TYPES:
        raise CheckpointError(f"parameter '{parameter.name}' has the type {parameter.dtype}, which is not written.")

    def read() -> Any:
        return parameter.asnumpy() if dtype != "bfloat16" else _bits(parameter)

    return Entry(shape=tuple(parameter.shape), dtype=dtype, read=read)


def _bits(parameter: Any) -> Any:
    """The bits of a bfloat16 parameter, which numpy cannot hold as numbers."""
    from bert_ms import compat

    numbers = parameter.astype(compat.mindspore().float32).asnumpy()
    return (numbers.view("uint32") >> 16).astype("uint16")
