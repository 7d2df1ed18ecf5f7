"""One model in memory: its tokenizer here, its network in an engine."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.errors import TokenizerError
from bert_ms.hub import catalogue
from bert_ms.pipelines.sentences.settings import SentenceSettings, read_settings
from bert_ms.tokenization import Tokenizer

from .answering import KINDS_OF, Answerer, Words
from .engine.process import EngineProcess, EngineRefused, Hello
from .faults import Unavailable, WrongTask
from .scheduling.keeper import Keeper
from .service import Call, Reply, State
from .spec import ModelSpec


class LoadedModel:
    """A model from its load to its end; loading it anew makes another one of these.

    Args:
        spec: of the model.
        tell: told of events; see `service.Repository`.
        start: starts an engine.

    Raises:
        BertMsError: the source is not there, or has no vocabulary.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        tell: Callable[..., None] = lambda event, **values: None,
        start: Callable[..., Any] = EngineProcess,
    ):
        path = catalogue.resolve(spec.source).resolve()
        self.spec, self.name, self.loaded_at = spec, spec.name, time.time()
        self._tokenizer = Tokenizer.from_pretrained(path)
        self._words = Words(self._tokenizer)
        self._sentences = read_settings(path) if path.is_dir() else SentenceSettings()
        longest = self._sentences.max_length if spec.max_length is None else None
        # No method of this: what refers back is found by the garbage collector only, which comes late to megabytes.
        accept = functools.partial(_check_served, self._tokenizer)
        self.keeper = Keeper(spec, str(path), longest=longest, accept=accept, tell=tell, start=start)

    @property
    def state(self) -> State:
        """See `service.ServedModel`."""
        return self.keeper.state

    @property
    def reason(self) -> str:
        """Why it is not ready; empty where it is."""
        return self.keeper.reason

    @property
    def version(self) -> str:
        """See `service.ServedModel`; empty while it is loading."""
        return self.keeper.hello.version if self.keeper.hello else ""

    @property
    def task(self) -> str:
        """See `service.ServedModel`."""
        return self.keeper.hello.task if self.keeper.hello else self.spec.task or ""

    @property
    def dtype(self) -> str:
        """See `service.ServedModel`; empty while it is loading."""
        return self.keeper.hello.precision if self.keeper.hello else ""

    @property
    def config(self) -> BertConfig:
        """See `service.ServedModel`.

        Raises:
            Unavailable: it is loading.
        """
        return self._answerer().hello.config

    @property
    def max_length(self) -> int:
        """Tokens of the longest row."""
        return self.keeper.longest

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `infer_ids` gives."""
        return self._answerer().hello.outputs

    @property
    def row_outputs(self) -> tuple[str, ...]:
        """Those of them that are one a row [B, ...]; the others are one a token [B, S, ...]."""
        return self._answerer().hello.row_outputs

    def kinds(self) -> tuple[str, ...]:
        """See `service.ServedModel`; none while it is loading."""
        return KINDS_OF[self.keeper.hello.pipeline] if self.keeper.hello else ()

    def answer(self, kind: str, inputs: Sequence[Any], options: Mapping[str, Any], call: Call) -> Reply:
        """See `service.ServedModel`."""
        answerer = self._answerer()
        if kind not in answerer.kinds:
            raise WrongTask(
                f"model {self.name!r} was trained for {self.task} and answers {', '.join(answerer.kinds)}, not {kind}."
            )
        return answerer.answer(kind, inputs, options, call)

    def infer_ids(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray, call: Call
    ) -> dict[str, np.ndarray]:
        """See `service.ServedModel`."""
        return self._answerer().infer_ids(input_ids, attention_mask, token_type_ids, call)

    def stats(self) -> dict[str, Any]:
        """See `service.ServedModel`."""
        return self.keeper.stats()

    def _answerer(self) -> Answerer:
        hello = self.keeper.hello
        if hello is None:
            raise Unavailable.not_ready(self.name, state=self.state, reason=self.reason)
        return Answerer(self.keeper, hello, self._tokenizer, self._words, self._sentences)


def _check_served(tokenizer: Tokenizer, hello: Hello) -> None:
    """See that an engine's network is of a kind that is served, and has a row for each piece of the vocabulary.

    Raises:
        EngineRefused: it is not, or has not.
    """
    if hello.pipeline not in KINDS_OF:
        raise EngineRefused(
            f"task {hello.task!r} is not served: expected a network for {', '.join(KINDS_OF)}. Any BERT embeds "
            f"with task encoder."
        )
    try:
        tokenizer.check_against(hello.config.vocab_size)
    except TokenizerError as error:
        raise EngineRefused(str(error)) from None
