"""What the wire asks of the models, whatever stands behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from bert_ms.config import BertConfig

State = Literal["loading", "ready", "restarting", "draining", "failed"]
# Kinds of requests; a model answers those that its head allows.
KINDS = ("qa", "classify", "ner", "fill-mask", "embed", "similarity", "tokenize")
# Keys of `Call.timings`, in the order in which the time is spent.
TIMINGS = ("tok", "queue", "infer", "post")


class Parking(Protocol):
    """Where a request waits whose thread goes on with others meanwhile."""

    def park(self, until: float) -> None:
        """Wait for `unpark`, at most until a moment on the clock of `time.monotonic`; it may come back earlier."""

    def unpark(self) -> None:
        """End the waiting, or the next one; from any thread."""


@dataclass(frozen=True)
class Call:
    """One request's circumstances.

    Attributes:
        deadline: on the clock of `time.monotonic`, in seconds.
        cancelled: set when the client is gone; what waits in the queue is then dropped.
        timings: seconds spent on tokenising, in the queue, in the engine, and on the answer; filled by the model.
        parking: where it waits for its answer; None where it has a thread of its own.
    """

    deadline: float
    cancelled: threading.Event = field(default_factory=threading.Event)
    timings: dict[str, float] = field(default_factory=dict)
    parking: Parking | None = None

    @classmethod
    def within(cls, seconds: float) -> Call:
        """A call that has so long from now."""
        return cls(deadline=time.monotonic() + seconds)


@dataclass(frozen=True)
class Reply:
    """Answers of one request.

    Attributes:
        results: one for each input, in order.
        usage: of each input, its `tokens`, the `windows` it was read in, and whether it was `truncated`.
    """

    results: list[Any]
    usage: list[dict[str, Any]]


class ServedModel(Protocol):
    """A model that answers.

    Attributes:
        name: that requests ask for it by.
        version: the first digits of its weights' sha256.
        task: that it was trained for.
        dtype: numbers that it computes in: float32, int8, ...; of an exported network what it was exported with.
        state: loading, ready, restarting, draining or failed.
        config: of its network.
        loaded_at: on the clock of `time.time`, in seconds.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def config(self) -> BertConfig: ...
    @property
    def loaded_at(self) -> float: ...
    @property
    def state(self) -> State: ...

    def kinds(self) -> tuple[str, ...]:
        """Kinds of requests, of KINDS, that it can answer."""

    def answer(self, kind: str, inputs: Sequence[Any], options: Mapping[str, Any], call: Call) -> Reply:
        """Answers to inputs of a kind.

        Args:
            kind: one of `kinds()`.
            inputs: at least one of the kind's own:
                qa: {"question": str, "context": str}
                classify: str, or a pair (str, str)
                ner, fill-mask, tokenize: str
                embed: str, or a list of token ids with its special tokens
                similarity: {"source": str, "sentences": [str, ...]}
            options: of the kind; what is left out takes its default:
                qa: top_k 3, max_answer_len 30, doc_stride 128, handle_impossible True, null_threshold 0.0
                classify: top_k (all), activation (softmax, sigmoid or none; the model's own), truncate False
                ner: aggregation (none, simple, first, average or max; simple)
                fill-mask: top_k 5, targets (any)
                embed: pooling (cls, mean or max; the model's own), normalize True, dimensions (all), truncate False
                similarity: pooling, truncate
            call: the request's circumstances.

        Returns:
            A result for each input:
                qa: {"answers": [{"text", "start", "end", "score"}], "null_score_diff": float or None}
                classify: [{"label", "score"}]
                ner: [{"entity", "text", "start", "end", "score"}]
                fill-mask: for each [MASK], [{"token", "token_str", "score", "sequence"}]
                embed: float32 [H]
                similarity: [float] for the sentences
                tokenize: {"input_ids", "tokens", "offsets"}

        Raises:
            ServiceFault: any of its kinds but UnknownModel.
        """

    def infer_ids(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray, call: Call
    ) -> dict[str, np.ndarray]:
        """What the network itself says of rows of ids [B, S] of any integer type, by output name, float32."""

    def stats(self) -> dict[str, Any]:
        """Numbers for metrics: queue_items, queue_tokens, inflight, engine_up, engine_restarts, compiles (since it
        was ready), batches, rows, tokens, padded_tokens, errors, rejected."""


class Repository(Protocol):
    """The models of a server, by name.

    Attributes:
        observers: called as `observer(event, model=name, ...)` for
            "batch": rows, tokens, padded (tokens with padding), queue_seconds (longest of its rows), infer_seconds
            "rejected": reason (queue_full, deadline_exceeded, client_closed_request, loading, draining, ...)
            "engine_restart": reason (died, unresponsive, poisoned)
            "compile": shape (B, S), after ready
            "error": a row on which the network failed
            "state": state
            An observer must be quick; what it raises is logged.
    """

    observers: list[Callable[..., None]]

    @property
    def is_live(self) -> bool: ...

    @property
    def is_ready(self) -> bool: ...

    def names(self) -> list[str]:
        """Names of the models, sorted."""

    def get(self, name: str | None = None) -> ServedModel:
        """A model by name; None gives the first that was named.

        Raises:
            UnknownModel: there is none of that name.
        """

    def for_kind(self, kind: str, name: str | None = None) -> ServedModel:
        """The model of that name, or the first that answers a kind of request.

        Raises:
            UnknownModel: there is none of that name.
            WrongTask: it does not answer this kind, or none does.
        """

    def index(self) -> list[dict[str, Any]]:
        """Of each model: name, version, state, reason (why it is not ready), task, dtype, kinds, loaded_at."""

    def load(self, name: str, source: str | None = None) -> None:
        """Load a model, or load it anew beside the one that answers and then change over.

        Args:
            name: that it will have; of the settings where `source` is None.
            source: a directory within the allow-listed root.

        Raises:
            UnknownModel: no source is known for the name.
            LoadFailed: the source lies outside the root, or the model does not load; the old one still answers.
        """

    def unload(self, name: str) -> None:
        """Take a model out: what it has accepted is answered, what comes later is refused.

        Raises:
            UnknownModel: there is none of that name.
        """

    def drain(self, timeout: float) -> bool:
        """Refuse what is new, answer what was accepted.

        Args:
            timeout: seconds to wait.

        Returns:
            Whether all was answered in time.
        """

    def close(self) -> None:
        """End every engine; what is still waiting is refused."""
