"""Vectors of labelled rows from a checkpoint as it comes, without any training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bert_ms.config import RunConfig
from bert_ms.errors import ConfigError
from bert_ms.pipelines.backends import Backend
from bert_ms.pipelines.loading import SCRATCH, open_model
from bert_ms.pipelines.pooling import pooled
from bert_ms.pipelines.ranking.labelled import Labelled
from bert_ms.pipelines.text.rows import run_rows
from bert_ms.records import SILENT_WORDS, Features

WORD = "word"  # the kind of vector that a word has: of its first piece


@dataclass(frozen=True, kw_only=True)
class FrozenVectors:
    """What a checkpoint makes of the rows.

    Attributes:
        by_kind: float32 [P, H] of every point: "mean" of the last layer's tokens, "cls" its first token, "pooled" the
            pooled output where the weights have a pooler; or "word" alone.
        parameters: numbers in the encoder.
        unknown: percent of the tokens that are not in the vocabulary.
    """

    by_kind: Mapping[str, np.ndarray]
    parameters: int
    unknown: float


def vectors_of(
    source: str, data: Labelled, config: RunConfig, *, watch: Callable[[int], None] | None = None
) -> FrozenVectors:
    """Run the encoder of a checkpoint over the rows; MindSpore's mode and device are to be set.

    Args:
        source: a directory, a file, or a catalogue name.
        data: the rows.
        config: how to tokenise, load and batch: `data`, `model` but its source, `precision` and `evaluation`.
        watch: called with the number of rows of each batch that is done.

    Raises:
        BertMsError: the checkpoint cannot be read, or cannot take the rows.
    """
    from bert_ms.hub.load import from_checkpoint
    from bert_ms.pipelines.backends import CellBackend

    if source == SCRATCH:
        raise ConfigError(f"'{SCRATCH}' is no checkpoint: it has no weights to judge by.")
    opened = open_model(dataclasses.replace(config, model=dataclasses.replace(config.model, source=source)))
    data.check(opened.config)
    assert opened.checkpoint is not None
    network = from_checkpoint(
        opened.checkpoint,
        "encoder",
        dtype=config.precision.dtype,
        allow_missing=config.model.allow_missing,
        allow_unused=config.model.allow_unused,
    )
    features = data.featurize(opened.tokenizer, config.data)
    cell = CellBackend(network, outputs=("last_hidden_state", "pooled_output"), row_outputs=("pooled_output",))
    backend = _Watched(cell, watch) if data.kind == "tags" else _Pooling(cell, watch)
    found = run_rows(
        backend, features, batch_size=config.evaluation.batch_size, longest=opened.config.max_sequence_length
    )
    is_unknown = features.input_ids == opened.tokenizer.unk_token_id
    return FrozenVectors(
        by_kind={WORD: _words(found["last_hidden_state"], features, data)} if data.kind == "tags" else found,
        parameters=sum(parameter.size for parameter in network.get_parameters()),
        unknown=100 * float(is_unknown.mean()),
    )


class _Watched:
    """A backend that tells how many rows each batch held; of its outputs only the first, one a token."""

    def __init__(self, inner: Backend, watch: Callable[[int], None] | None):
        self.inner, self.watch = inner, watch
        self.takes_any_shape = inner.takes_any_shape
        self.outputs: tuple[str, ...] = inner.outputs[:1]
        self.row_outputs: tuple[str, ...] = ()

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`."""
        outputs = self.inner.run(arrays)
        if self.watch is not None:
            self.watch(int(arrays[1].any(1).sum()))  # rows that only fill the batch have no token
        return outputs


class _Pooling(_Watched):
    """A backend that gives the vectors of whole rows, so that those of their tokens need not be kept."""

    def __init__(self, inner: Backend, watch: Callable[[int], None] | None):
        super().__init__(inner, watch)
        self.outputs = self.row_outputs = ("mean", "cls", "pooled")

    def run(self, arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """See `Backend`; without "pooled" where the encoder has no pooler."""
        hidden, *others = super().run(arrays)
        return (pooled(hidden, arrays[1], "mean"), pooled(hidden, arrays[1], "cls"), *others)


def _words(hidden: np.ndarray, features: Features, data: Labelled) -> np.ndarray:
    """Vectors of the words that are points, from those of their first tokens; of words without a token zeros."""
    assert features.in_context is not None
    is_heard = np.ones(sum(len(example.words) for example in data.examples), bool)
    silent: list[int] = features.meta[SILENT_WORDS]  # type: ignore[assignment]
    is_heard[silent] = False
    is_heard_point = is_heard[data.points]
    token = np.cumsum(is_heard)[data.points[is_heard_point]] - 1
    vectors = np.zeros((len(data.points), hidden.shape[1]), np.float32)
    vectors[is_heard_point] = hidden[np.flatnonzero(features.in_context == 1)[token]]
    return vectors
