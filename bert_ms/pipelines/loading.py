"""The network, tokenizer and files that a run's configuration asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_ms import checkpoint, tasks
from bert_ms.config import INT8, BertConfig, ModelConfig, PrecisionConfig, RunConfig, no_int8
from bert_ms.data.columns import column
from bert_ms.data.pretraining import text
from bert_ms.errors import CheckpointError, ConfigError
from bert_ms.hub import catalogue
from bert_ms.pipelines.exported import Exported, find_exported
from bert_ms.tasks import Task
from bert_ms.tasks.work import Prepared, Purpose, Work
from bert_ms.tokenization import Tokenizer

if TYPE_CHECKING:
    from mindspore import nn

_HEADS = ("classifier.*", "crf.*", "lstm.*")
# Fields of a configuration that shape a head over labels.
_SHAPING = ("num_labels", "has_crf", "has_lstm")
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
SAMPLE = "sample"
SCRATCH = "scratch"  # the source of a network that no weights are there for
_VERBS: dict[Purpose, str] = {"train": "train on", "evaluate": "score", "predict": "answer"}
_SAMPLE_TASK = "question-answering"
_SAMPLE_FILES = {"train_file": "squad_train.json", "eval_file": "squad_dev.json", "predict_file": "squad_dev.json"}


def load_tokenizer(config: ModelConfig) -> Tokenizer:
    """The tokenizer of the run's network.

    Raises:
        CheckpointError: the source is unknown.
        TokenizerError: it has no vocabulary, and `model.vocab` names none.
    """
    if config.source == SCRATCH:
        return _new_tokenizer(config)
    source = catalogue.resolve(config.source)
    return Tokenizer.from_pretrained(source, vocab=config.vocab, do_lower_case=config.do_lower_case)


@dataclass(frozen=True)
class OpenedModel:
    """A run's model before its weights are read: what is wrong with it shows without MindSpore.

    Attributes:
        config: of the network, as the run changes it.
        checkpoint: the weights, with the same configuration; None where they are to be drawn, or were exported.
        tokenizer: of the network.
        exported: the network, where the source is an exported folder.
    """

    config: BertConfig
    checkpoint: checkpoint.Checkpoint | None
    tokenizer: Tokenizer
    exported: Exported | None = None


def open_model(config: RunConfig, *, backend: str | None = None) -> OpenedModel:
    """The weights and the tokenizer that a run names, checked against each other and against the run's windows.

    Args:
        config: of the run.
        backend: what is to run the network: cell, onnx or mindir; "auto" takes whichever the source is for. None
            wants weights, to be trained perhaps.

    Raises:
        CheckpointError: the source is unknown, or its weights cannot be read; an exported network is another task's.
        TokenizerError: there is no vocabulary, or it is another model's.
        ConfigError: a configuration cannot be used, windows are longer than the network can take, or the source is of
            another kind than the backend.
    """
    model, opened, is_int8 = config.model, None, config.precision.dtype == INT8
    if is_int8 and (backend is None or model.source == SCRATCH):
        raise ConfigError(
            "precision.dtype is int8, which rounds trained weights for their answers (evaluate, predict): train in "
            "float32."
        )
    exported = None if backend is None else _open_exported(config, backend)
    if exported is None and model.source != SCRATCH:
        opened = checkpoint.open_checkpoint(catalogue.resolve(model.source), config=model.config)
    dropouts = {name: getattr(model, name) for name in _DROPOUTS if getattr(model, name) is not None}
    origin = exported or opened
    if is_int8 and opened is not None and (objection := opened.config.int8_objection()):
        raise no_int8(objection, key="precision.dtype", shown=model.source)
    known = dataclasses.replace(_new_config(model) if origin is None else origin.config, **dropouts)
    opened = None if opened is None else dataclasses.replace(opened, config=known)
    tokenizer = load_tokenizer(model)
    tokenizer.check_against(known.vocab_size)
    longest = known.max_sequence_length
    if longest is not None and config.data.max_length > longest:
        raise ConfigError(
            f"data.max_length is {config.data.max_length}, but {model.source} takes at most {longest} tokens "
            f"(max_position_embeddings): set data.max_length={longest} or lower."
        )
    needed = tasks.get(config.task).segments
    if known.type_vocab_size < needed:
        raise ConfigError(
            f"{model.source} tells {known.type_vocab_size} kind of token apart (type_vocab_size), and task "
            f"'{config.task}' needs {needed}, for the two texts of a pair: choose another model."
        )
    return OpenedModel(known, opened, tokenizer, exported)


def _open_exported(config: RunConfig, backend: str) -> Exported | None:
    """The exported network that a run names; None where it names weights."""
    model = config.model
    path = None if model.source == SCRATCH else catalogue.resolve(model.source)
    dtype = config.precision.dtype if config.precision.dtype != PrecisionConfig().dtype else None
    exported = find_exported(path, shown=model.source, backend=backend, config=model.config, dtype=dtype)
    if exported is not None and exported.record.task != config.task:
        raise CheckpointError(
            f"{model.source} was exported for '{exported.record.task}', and the run's task is '{config.task}': export "
            f"the network again (bert-ms export SOURCE DIR --task {config.task})."
        )
    return exported


def _new_tokenizer(model: ModelConfig) -> Tokenizer:
    """The tokenizer of a vocabulary that no weights come with."""
    if model.vocab is None:
        raise ConfigError(
            f"model.source is {SCRATCH}, and model.vocab is not given: name a vocabulary file, one word piece a line."
        )
    file = Path(model.vocab).expanduser()
    if not file.is_file():
        raise ConfigError(f"model.vocab is {model.vocab}: there is no such file.")
    return Tokenizer.from_pretrained(file, vocab=file, do_lower_case=model.do_lower_case)


def _new_config(model: ModelConfig) -> BertConfig:
    """The configuration of a network that is made anew."""
    if model.config is None:
        raise ConfigError(
            f"model.source is {SCRATCH}, and model.config is not given: name a configuration file with the sizes of "
            f"the network, as Hugging Face's config.json has them."
        )
    return BertConfig.from_file(Path(model.config).expanduser())


def load_work(config: RunConfig, opened: OpenedModel) -> Work:
    """The work of the run's task, for this model."""
    work: Work = tasks.get(config.task).load("work")(config, opened.tokenizer, opened.config)
    return work


def load_network(config: RunConfig, opened: OpenedModel, work: Work) -> nn.Cell:
    """The run's network with its weights, in evaluation mode; a new task head is drawn by the seed that is set.

    Args:
        config: of the run.
        opened: what `open_model` gave for it.
        work: of the run, with its data prepared; what the data settle, labels above all, is written into the network's
            configuration.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
        ConfigError: a configuration cannot be used.
    """
    from bert_ms.hub.load import from_checkpoint, from_config

    task, model, fields = tasks.get(config.task), config.model, dict(work.network_fields())
    weights = opened.checkpoint
    if weights is None:
        settled = dataclasses.replace(opened.config, **fields)
        return from_config(settled, task.network or task.name, dtype=config.precision.dtype)
    is_new = weights.config.task not in (None, config.task) or is_new_head(weights.config, fields)
    return from_checkpoint(
        dataclasses.replace(weights, config=dataclasses.replace(weights.config, **fields)),
        task.network or task.name,
        dtype=config.precision.dtype,
        allow_missing=model.allow_missing,
        allow_unused=model.allow_unused,
        initialise=_HEADS if is_new else (),
    )


def load_learner(config: RunConfig, opened: OpenedModel, work: Work) -> nn.Cell:
    """The network of `load_network` as it is trained: with adapters beside its weights, where the run asks for them.

    Raises:
        ConfigError: also where a pattern of the section `lora` matches nothing.
    """
    from bert_ms.hub.adapters import add_adapter

    network, lora = load_network(config, opened, work), config.lora
    if lora.rank > 0:
        add_adapter(
            network,
            rank=lora.rank,
            lora_alpha=lora.lora_alpha,
            targets=lora.targets,
            train=lora.train,
            seed=config.seed,
        )
    return network


def load_objective(network: nn.Cell, task: Task, config: RunConfig, training: Prepared) -> nn.Cell:
    """What the run minimises: see `bert_ms.training.objective`.

    Raises:
        ConfigError: the loss, or what is to regularise it, does not fit the task or the network.
    """
    from bert_ms.training.objective import objective

    is_counted = config.loss.class_weights == "balanced" and task.classes == "labels"
    labels = column(training.rows, task.labels[0]) if is_counted else None
    return objective(network, task, config, labels=labels)


def is_new_head(known: BertConfig, fields: Mapping[str, Any]) -> bool:
    """Whether the labels that the data have are others than those of the weights, which may be without names."""
    if known.num_labels is None or "num_labels" not in fields:
        return False  # there is no head, or none with labels: what is missing is made anew
    if known.labels and "labels" in fields and tuple(fields["labels"]) != known.labels:
        return True
    return any(getattr(known, name) != value for name, value in fields.items() if name in _SHAPING)


def data_file(config: RunConfig, key: str) -> Path | None:
    """The file that `data.<key>` names, `sample` being the one that ships with the package; None where none is named.

    The sample holds questions: no other task has one.

    For a task that takes many files it may also be a folder, or a pattern.

    Raises:
        ConfigError: there is no such file, or it is a directory, a device or a pipe.
        DataError: the task reads folders and patterns of files, and this one stands for no file.
    """
    given = getattr(config.data, key)
    if given is None:
        return None
    if tasks.get(config.task).takes_many_files:
        text.files_of(Path(given).expanduser())
        return Path(given).expanduser()
    has_sample = config.task == _SAMPLE_TASK
    is_sample = has_sample and given == SAMPLE
    path = Path(__file__).parent.parent / SAMPLE / _SAMPLE_FILES[key] if is_sample else Path(given).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError(f"data.{key} is {given}, a directory: name a file.")
    if path.exists():
        raise ConfigError(f"data.{key} is {given}, which is no regular file: it is read more than once, so copy it.")
    broken = " (it is a link that leads nowhere)" if path.is_symlink() else ""
    hint = f" `{SAMPLE}` is the packaged sample." if has_sample else ""
    if given == SAMPLE:
        hint = f" The packaged sample holds questions, for task '{_SAMPLE_TASK}': name a file of your own."
    raise ConfigError(f"data.{key} is {given}: there is no such file{broken}.{hint}")


def needed_file(config: RunConfig, key: str, purpose: Purpose) -> Path:
    """As `data_file`, for a file that has to be given.

    Raises:
        ConfigError: none is named, or there is no such file.
    """
    path = data_file(config, key)
    if path is None:
        sample = f", or `{SAMPLE}`" if config.task == _SAMPLE_TASK else ""
        raise ConfigError(f"data.{key} is not given: name the file to {_VERBS[purpose]}{sample}: {key}=FILE.")
    return path
