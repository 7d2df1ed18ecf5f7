"""The place of a model's name, where one model can follow another while requests are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_ms.config import BertConfig

from .faults import Unavailable
from .model import LoadedModel
from .service import Call, Reply, State


class Served:
    """The place of a name: a `service.ServedModel` whose model can change between two requests.

    A request stays with the model that it came to; the model's end waits for it.

    Args:
        name: that requests ask for.
        current: the model, or None with the reason why there is none.
        reason: why there is none.
    """

    def __init__(self, name: str, current: LoadedModel | None, reason: str = ""):
        self.name, self._reason = name, reason
        self._current, self._is_draining = current, False
        self._users: dict[LoadedModel, int] = {}
        self._changed = threading.Condition()

    @property
    def model(self) -> LoadedModel | None:
        """The one that answers now."""
        return self._current

    @property
    def state(self) -> State:
        """See `service.ServedModel`."""
        if self._is_draining:
            return "draining"
        return self._current.state if self._current else "failed"

    @property
    def reason(self) -> str:
        """Why it is not ready; empty where it is."""
        return self._current.reason if self._current else self._reason

    @property
    def version(self) -> str:
        """See `service.ServedModel`."""
        return self._current.version if self._current else ""

    @property
    def task(self) -> str:
        """See `service.ServedModel`."""
        return self._current.task if self._current else ""

    @property
    def dtype(self) -> str:
        """See `service.ServedModel`."""
        return self._current.dtype if self._current else ""

    @property
    def loaded_at(self) -> float:
        """See `service.ServedModel`."""
        return self._current.loaded_at if self._current else 0.0

    @property
    def config(self) -> BertConfig:
        """See `service.ServedModel`."""
        return self._there().config

    @property
    def max_length(self) -> int:
        """Tokens of the longest row."""
        return self._there().max_length

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `infer_ids` gives."""
        return self._there().outputs

    @property
    def row_outputs(self) -> tuple[str, ...]:
        """Those of them that are one a row [B, ...]; the others are one a token [B, S, ...]."""
        return self._there().row_outputs

    def kinds(self) -> tuple[str, ...]:
        """See `service.ServedModel`."""
        return self._current.kinds() if self._current else ()

    def answer(self, kind: str, inputs: Sequence[Any], options: Mapping[str, Any], call: Call) -> Reply:
        """See `service.ServedModel`."""
        model = self._enter()
        try:
            return model.answer(kind, inputs, options, call)
        finally:
            self._leave(model)

    def infer_ids(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray, call: Call
    ) -> dict[str, np.ndarray]:
        """See `service.ServedModel`."""
        model = self._enter()
        try:
            return model.infer_ids(input_ids, attention_mask, token_type_ids, call)
        finally:
            self._leave(model)

    def stats(self) -> dict[str, Any]:
        """See `service.ServedModel`."""
        return self._current.stats() if self._current else {"engine_up": 0}

    def change(self, model: LoadedModel) -> LoadedModel | None:
        """Let another model answer from now on; returns the one that did."""
        with self._changed:
            before, self._current = self._current, model
            return before

    def refuse(self) -> None:
        """Take in no more requests."""
        with self._changed:
            self._is_draining = True

    def wait_unused(self, model: LoadedModel | None, until: float) -> bool:
        """Wait until no request is with a model (None: with any); whether that came before `until`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._users.get(model) if model else sum(self._users.values())),
                max(until - time.monotonic(), 0),
            )

    def _enter(self) -> LoadedModel:
        """The model for a request, which `_leave` has to follow."""
        with self._changed:
            if self._is_draining:
                raise Unavailable(f"model {self.name!r} is being taken out.", code="draining", retry_after=1.0)
            model = self._there()
            self._users[model] = self._users.get(model, 0) + 1
            return model

    def _leave(self, model: LoadedModel) -> None:
        with self._changed:
            self._users[model] -= 1
            if not self._users[model]:
                del self._users[model]
                self._changed.notify_all()

    def _there(self) -> LoadedModel:
        if self._current is None:
            text = f"model {self.name!r} failed to load: {self._reason}"
            raise Unavailable(text, code="engine_failed", retry_after=60.0)
        return self._current
