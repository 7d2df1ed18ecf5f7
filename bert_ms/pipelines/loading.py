"""The network, tokenizer and files that a run's configuration asks for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from bert_ms import checkpoint
from bert_ms.config import ModelConfig, RunConfig
from bert_ms.errors import ConfigError
from bert_ms.hub import catalogue
from bert_ms.tokenization import Tokenizer

if TYPE_CHECKING:
    from mindspore import nn

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
SAMPLE = "sample"
_SAMPLE_FILES = {"train_file": "squad_train.json", "eval_file": "squad_dev.json", "predict_file": "squad_dev.json"}


def load_tokenizer(config: ModelConfig) -> Tokenizer:
    """The tokenizer of the run's network.

    Raises:
        CheckpointError: the source is unknown.
        TokenizerError: it has no vocabulary, and `model.vocab` names none.
    """
    source = catalogue.resolve(config.source)
    return Tokenizer.from_pretrained(source, vocab=config.vocab, do_lower_case=config.do_lower_case)


def load_network(config: RunConfig) -> nn.Cell:
    """The run's network with its weights, in evaluation mode; a new task head is drawn by the seed that is set.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
        ConfigError: a configuration cannot be used.
    """
    from bert_ms.hub.load import from_checkpoint

    model = config.model
    opened = checkpoint.open_checkpoint(catalogue.resolve(model.source), config=model.config)
    dropouts = {name: getattr(model, name) for name in _DROPOUTS if getattr(model, name) is not None}
    opened = dataclasses.replace(opened, config=dataclasses.replace(opened.config, **dropouts))
    return from_checkpoint(
        opened,
        config.task,
        dtype=config.precision.dtype,
        allow_missing=model.allow_missing,
        allow_unused=model.allow_unused,
    )


def data_file(config: RunConfig, key: str) -> Path | None:
    """The file that `data.<key>` names, `sample` being the one that ships with the package; None where none is named.

    Raises:
        ConfigError: there is no such file.
    """
    given = getattr(config.data, key)
    if given is None:
        return None
    path = Path(__file__).parent.parent / SAMPLE / _SAMPLE_FILES[key] if given == SAMPLE else Path(given).expanduser()
    if not path.is_file():
        raise ConfigError(f"data.{key} is {given}: there is no such file. `{SAMPLE}` is the packaged sample.")
    return path
