"""LoRA adapters on disk, in the form of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms import compat
from bert_ms.checkpoint import names, staging, writers
from bert_ms.checkpoint.opened import bare
from bert_ms.checkpoint.readers import safetensors
from bert_ms.checkpoint.weights import entry_in_memory
from bert_ms.errors import CheckpointError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MAX_CONFIG_BYTES = 1 << 20
_MAX_RANK = 1024
_TASK_TYPES = {
    "encoder": "FEATURE_EXTRACTION",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
    "causal-lm": "CAUSAL_LM",
}
# What PEFT can have and this package has not, with the value that means "not used".
_UNUSED = {
    "use_dora": False, "lora_bias": False, "fan_in_fan_out": False, "bias": "none", "rank_pattern": {},
    "alpha_pattern": {}, "layer_replication": None, "trainable_token_indices": None, "target_parameters": None,
}  # fmt: skip


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory.

    Attributes:
        rank: of its products.
        lora_alpha: as it was configured.
        scale: that products are multiplied by.
        products: bare name of a weight -> A [rank, in] and B [out, rank].
        others: bare name -> array, of parameters that learned beside them, the task's head above all.
    """

    rank: int
    lora_alpha: float
    scale: float
    products: Mapping[str, tuple[np.ndarray, np.ndarray]]
    others: Mapping[str, np.ndarray]


def write_adapter(cell: Any, directory: str | os.PathLike[str], *, base: str = "") -> Path:
    """Write a network's adapters, and what learned beside them, without the network.

    Args:
        cell: with adapters; of its other parameters those are written that learn (`requires_grad`).
        directory: where to.
        base: name or path of the weights that the adapters belong to.

    Returns:
        The directory.

    Raises:
        CheckpointError: there are no adapters, or the directory cannot be written.
    """
    from bert_ms.model.lora import adapters

    found = adapters(cell)
    if not found:
        raise CheckpointError(f"{type(cell).__name__} has no adapters: train with lora.rank=8, or add some.")
    parameters = {path: p for path, p in cell.parameters_and_names() if ".adapter." not in path}
    paths = bare(parameters)
    table = names.HUGGING_FACE if cell.config.relative_position == "none" else names.HUGGING_FACE_NEZHA
    theirs = {paths[ours]: place.name for ours, place in table.names_of(paths).items()}
    tensors, modules, targets = {}, [], []
    for path, adapter in found.items():
        module = theirs[f"{path}.weight"].removesuffix(".weight")
        targets.append(module)
        for part in ("lora_A", "lora_B"):
            tensors[f"{_PREFIX}{module}.{part}.weight"] = entry_in_memory(getattr(adapter, part).asnumpy())
    for path, parameter in parameters.items():
        if parameter.requires_grad:
            tensors[_PREFIX + theirs[path]] = entry_in_memory(parameter.asnumpy())
            modules.append(theirs[path].rpartition(".")[0])
    one = next(iter(found.values()))
    config = {
        "peft_type": "LORA",
        "task_type": _TASK_TYPES.get(cell.config.task or ""),
        "base_model_name_or_path": base or None,
        "r": one.rank,
        "lora_alpha": one.scale * one.rank,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "modules_to_save": _outermost(modules) or None,
        "inference_mode": True,
        "use_rslora": False,
        **_UNUSED,
    }
    target = Path(directory).expanduser()
    with staging.staged(target, needed_bytes=sum(map(writers.size_of, tensors.values()))) as scratch:
        writers.write_safetensors(scratch / WEIGHTS, tensors, texts={"format": "pt"})
        (scratch / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return target


def read_adapter(directory: str | os.PathLike[str]) -> Adapter:
    """The adapter in a directory, by our names.

    Raises:
        CheckpointError: it is no LoRA adapter, is broken, or has what this package does not compute.
    """
    place = Path(directory).expanduser()
    config = _read_config(place / CONFIG)
    rank, alpha = config["r"], config["lora_alpha"]
    file = place / WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"{file} is not there: an adapter is {CONFIG} and {WEIGHTS} in one directory.")
    weights = safetensors.read(file)
    plain = {name: name.removeprefix(_PREFIX) for name in weights}
    parts: dict[str, dict[str, np.ndarray]] = {}
    others = {}
    for name, ours in _our_names(file, plain):
        if (part := _part_of(name)) is not None:
            parts.setdefault(ours, {})[part] = weights[name].astype(np.float32)
        else:
            others[ours] = weights[name]
    products = {}
    for ours, both in parts.items():
        if both.keys() != {"lora_A", "lora_B"}:
            raise CheckpointError(f"{file}: of the adapter of '{ours}' only {', '.join(both)} is there.")
        a, b = both["lora_A"], both["lora_B"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            raise CheckpointError(
                f"{file}: the adapter of '{ours}' has shapes {a.shape} and {b.shape}: expected ({rank}, in) and "
                f"(out, {rank}), by the r of {CONFIG}."
            )
        products[ours] = (a, b)
    if not products:
        raise CheckpointError(f"{file} holds no lora_A and lora_B.")
    scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
    return Adapter(rank, alpha, scale, products, others)


def put_adapter(cell: Any, adapter: Adapter) -> None:
    """Give a network an adapter that was read; nothing is changed unless everything fits. What learned can learn on.

    Raises:
        CheckpointError: the network has no such weights, or of other shapes.
    """
    from bert_ms.model.lora import adapters, add_adapters, dense_layers

    parameters = {path: p for path, p in cell.parameters_and_names() if ".adapter." not in path}
    paths, layers = bare(parameters), dense_layers(cell)
    problems = []
    for ours, (a, b) in adapter.products.items():
        layer = layers.get(paths.get(ours, "").removesuffix(".weight"))
        if layer is None:
            problems.append(f"'{ours}', which has an adapter, is no dense layer's weight here")
        elif (b.shape[0], a.shape[1]) != (layer.out_size, layer.in_size):
            problems.append(f"'{ours}' is {(layer.out_size, layer.in_size)} here, {(b.shape[0], a.shape[1])} there")
    for ours, array in adapter.others.items():
        shape = tuple(parameters[paths[ours]].shape) if ours in paths else None
        if shape != array.shape:
            problems.append(f"'{ours}' is {shape or 'absent'} here, {array.shape} there")
    if problems:
        raise CheckpointError(f"the adapter does not fit {type(cell).__name__}: {'; '.join(problems)}.")
    tensor = compat.mindspore().Tensor
    targets = [paths[ours] for ours in adapter.products]
    add_adapters(cell, targets, rank=adapter.rank, lora_alpha=adapter.lora_alpha, scale=adapter.scale)
    added = adapters(cell)
    for ours, (a, b) in adapter.products.items():
        one = added[paths[ours].removesuffix(".weight")]
        one.lora_A.set_data(tensor(a))
        one.lora_B.set_data(tensor(b))
    for ours, path in paths.items():
        parameters[path].requires_grad = ours in adapter.others
        if ours in adapter.others:
            parameters[path].set_data(tensor(adapter.others[ours]))


def _read_config(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_CONFIG_BYTES:
            raise CheckpointError(f"{file} is {file.stat().st_size:,} bytes long: expected at most a few thousand.")
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is no JSON: {error}.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{file}: peft_type is {kind!r}: expected LORA, the one kind of adapter that is known.")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= _MAX_RANK:
        raise CheckpointError(f"{file}: r is {rank!r}: expected a whole number from 1 to {_MAX_RANK}.")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not math.isfinite(alpha):
        raise CheckpointError(f"{file}: lora_alpha is {alpha!r}: expected a number.")
    for key, unused in _UNUSED.items():
        if config.get(key, unused) not in (unused, None):
            raise CheckpointError(f"{file}: {key} is {config[key]!r}, which is not computed here: expected {unused!r}.")
    return config


def _our_names(file: Path, plain: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each name in the file, with the bare name of the weight or parameter that it belongs to."""
    for name, theirs in plain.items():
        part = _part_of(name)
        weight = theirs if part is None else f"{theirs.removesuffix(f'.{part}.weight')}.weight"
        found = names.HUGGING_FACE.translate([weight]).found
        if len(found) != 1:
            raise CheckpointError(f"{file}: '{name}' belongs to no weight that is known by Hugging Face's names.")
        yield name, next(iter(found))


def _part_of(name: str) -> str | None:
    return next((part for part in ("lora_A", "lora_B") if name.endswith(f".{part}.weight")), None)


def _outermost(modules: list[str]) -> list[str]:
    """Modules that lie in none of the others, each once."""
    return [m for m in dict.fromkeys(modules) if not any(m.startswith(f"{other}.") for other in modules)]
