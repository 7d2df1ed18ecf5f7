"""The keys that a run's configuration has, and what an unknown one was probably meant to be."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, get_type_hints

from bert_ms.config.run import RunConfig
from bert_ms.config.section import Section
from bert_ms.errors import nearest, unknown

# What google-research, Hugging Face, the model zoo, or a hurried hand calls the same thing.
PEER_NAMES = {
    "lr": "optimizer.learning_rate",
    "wd": "optimizer.weight_decay",
    "adam_epsilon": "optimizer.eps",
    "clip": "optimizer.max_grad_norm",
    "warmup": "schedule.warmup_ratio",
    "warmup_proportion": "schedule.warmup_ratio",
    "lr_scheduler_type": "schedule.name",
    "fp16": "precision.dtype",
    "bf16": "precision.dtype",
    "bs": "training.batch_size",
    "train_batch_size": "training.batch_size",
    "per_device_train_batch_size": "training.batch_size",
    "per_device_eval_batch_size": "evaluation.batch_size",
    "eval_batch_size": "evaluation.batch_size",
    "gradient_accumulation_steps": "training.accumulate",
    "accumulation_steps": "training.accumulate",
    "num_train_epochs": "training.epochs",
    "epoch_num": "training.epochs",
    "save_steps": "training.save_every",
    "eval_steps": "training.eval_every",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "seq_length": "data.max_length",
    "doc_stride": "data.stride",
    "version_2_with_negative": "data.with_negatives",
    "null_score_diff_threshold": "evaluation.null_threshold",
    "n_best_size": "evaluation.n_best",
    "input_file": "data.train_file",
    "random_seed": "seed",
    "do_whole_word_mask": "pretraining.unit",
    "mlm_probability": "pretraining.masked_lm_prob",
    "max_predictions": "pretraining.max_predictions_per_seq",
    "bert_config_file": "model.config",
    "vocab_file": "model.vocab",
    "init_checkpoint": "model.source",
    "model_name_or_path": "model.source",
    "load_pretrain_checkpoint_path": "model.source",
    "device_target": "device",
}


def fields(cls: type) -> dict[str, Any]:
    """The type of every field of a section, by its name."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


@cache
def sections() -> dict[str, type[Any]]:
    """The sections of a run by their names."""
    hints = fields(RunConfig).items()
    return {name: hint for name, hint in hints if isinstance(hint, type) and issubclass(hint, Section)}


@cache
def leaves() -> dict[str, Any]:
    """The type of every value, by dotted path."""
    parts = sections()
    top = {name: hint for name, hint in fields(RunConfig).items() if name not in parts}
    return top | {f"{name}.{key}": hint for name, cls in parts.items() for key, hint in fields(cls).items()}


def full_key(given: str) -> str | list[str]:
    """The dotted path of a key; the paths that it may stand for, when there are several."""
    if "." in given or given in leaves() or given in sections():
        return given
    candidates = [path for path in leaves() if path.split(".")[-1] == given]
    return candidates[0] if len(candidates) == 1 else candidates or given


def unknown_key(given: str) -> str:
    """One sentence for a key that there is not, with the nearest one."""
    section, _, last = given.rpartition(".")
    paths = leaves()
    by_last: dict[str, list[str]] = {}
    for path in paths:
        by_last.setdefault(path.split(".")[-1], []).append(path)
    siblings = {path.split(".")[-1]: path for path in paths if path.rpartition(".")[0] == section}
    if last.lower() in PEER_NAMES:
        guesses = [PEER_NAMES[last.lower()]]
    elif last in by_last:
        guesses = by_last[last]
    else:
        close = siblings.get(nearest(last, siblings) or "") or (None if section else nearest(given, sections()))
        guesses = [close] if close else by_last.get(nearest(last, by_last) or "", [])
    if guesses:
        return f"unknown key '{given}': did you mean {' or '.join(guesses)}?"
    if section in sections():
        return unknown("key", given, siblings.values())
    return f"unknown key '{given}'. Sections: {', '.join(sections())}; keys outside of them: " + (
        f"{', '.join(path for path in paths if '.' not in path)}."
    )


