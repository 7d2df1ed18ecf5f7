"""Models in memory that fulfil `serving.service`, without a network: what the wire's tests ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from serving.faults import BadItem, Cancelled, DeadlineExceeded, ServiceFault, Unavailable, UnknownModel, WrongTask
from serving.service import KINDS, TIMINGS, Call, Reply, State

WIDTH = 4
CONFIG = BertConfig(vocab_size=100, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)


class FakeModel:
    """Answers by rule: the answer to a question is the first word of its passage, a vector is the text's length.

    Texts that ask for trouble: empty ones and `too long` are refused; `wait` waits until `release` is set, the request
    is cancelled, or its time is over; `crash` raises what nobody foresaw.
    """

    loaded_at = 1_700_000_000.0
    config = CONFIG
    dtype = "float32"

    def __init__(self, name: str, kinds: Sequence[str] = KINDS, task: str = "question-answering"):
        self.name, self.version, self.task = name, f"{sum(map(ord, name)):012x}", task
        self.state: State = "ready"
        self.release = threading.Event()
        self.fault: ServiceFault | None = None
        self.waiting = 0
        self.cancelled = 0
        self._kinds = tuple(kinds)

    def kinds(self) -> tuple[str, ...]:
        return self._kinds

    def answer(self, kind: str, inputs: Sequence[Any], options: Mapping[str, Any], call: Call) -> Reply:
        if self.state == "draining":
            raise Unavailable("the server is going away.", code="draining", retry_after=5.0)
        if self.fault is not None:
            raise self.fault
        for name in TIMINGS:
            call.timings[name] = 0.001
        results = [self._one(kind, item, index, options, call) for index, item in enumerate(inputs)]
        usage = [{"tokens": 3, "windows": 1, "truncated": False} for _ in inputs]
        return Reply(results=results, usage=usage)

    def _one(self, kind: str, item: Any, index: int, options: Mapping[str, Any], call: Call) -> Any:
        text = item if isinstance(item, str) else item[0] if isinstance(item, tuple) else ""
        if isinstance(item, dict):
            text = item.get("context", item.get("source", ""))
        if isinstance(item, list):
            text = " ".join(map(str, item))
        if not text:
            raise BadItem("the text is empty: write something.", code="empty_input", index=index)
        if text == "too long":
            raise BadItem("600 tokens are more than 512.", code="too_long", index=index)
        if text == "crash":
            raise RuntimeError(f"the text {text!r} is secret")
        if text == "wait":
            self._wait(call)
        return _RULES[kind](item, options)

    def _wait(self, call: Call) -> None:
        self.waiting += 1
        while not self.release.wait(0.01):
            if call.cancelled.is_set():
                self.cancelled += 1
                raise Cancelled("the client is gone.")
            if time.monotonic() > call.deadline:
                raise DeadlineExceeded("the answer was not there in time.")

    def infer_ids(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, token_type_ids: np.ndarray, call: Call
    ) -> dict[str, np.ndarray]:
        if input_ids.min() < 0 or input_ids.max() >= CONFIG.vocab_size:
            raise BadItem("an id is not of the vocabulary's 0 to 99.", code="bad_ids", index=0)
        return {"logits": (input_ids * attention_mask + token_type_ids).astype(np.float32)}

    def stats(self) -> dict[str, Any]:
        return {"queue_items": 1, "queue_tokens": 2, "inflight": 0, "engine_up": 1, "engine_restarts": 0}


def _vector(text: Any, options: Mapping[str, Any]) -> np.ndarray:
    vector = np.full(options.get("dimensions", WIDTH), len(text), np.float32)
    return vector / np.linalg.norm(vector) if options.get("normalize", True) else vector


def _word(text: str) -> dict[str, Any]:
    word = text.split()[0]
    start = text.index(word)
    return {"text": word, "start": start, "end": start + len(word)}


_RULES: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
    "qa": lambda item, options: {"answers": [{**_word(item["context"]), "score": 0.5}], "null_score_diff": None},
    "classify": lambda item, options: [{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}][
        : options.get("top_k", 2)
    ],
    "ner": lambda item, options: [{"entity": "WORD", **_word(item), "score": 0.5}],
    "fill-mask": lambda item, options: [[{"token": 7, "token_str": "cat", "score": 0.5, "sequence": item}]],
    "embed": _vector,
    "similarity": lambda item, options: [float(len(text)) for text in item["sentences"]],
    "tokenize": lambda item, options: {"input_ids": [1, 7, 2], "tokens": ["[CLS]", "x", "[SEP]"],
                                       "offsets": [[0, 0], [0, 1], [0, 0]]},
}  # fmt: skip


class FakeRepository:
    """Models by name, loaded by their name alone."""

    def __init__(self, *models: FakeModel):
        self.models = {model.name: model for model in models}
        self.observers: list[Callable[..., None]] = []
        self.is_live = True
        self.loads: list[tuple[str, str | None]] = []
        self.is_closed = False

    @property
    def is_ready(self) -> bool:
        return bool(self.models) and all(model.state == "ready" for model in self.models.values())

    def names(self) -> list[str]:
        return sorted(self.models)

    def get(self, name: str | None = None) -> FakeModel:
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise UnknownModel(f"there is no model {name!r}: there are {', '.join(self.names())}.")
        return self.models[name]

    def for_kind(self, kind: str, name: str | None = None) -> FakeModel:
        if name is not None:
            model = self.get(name)
            if kind not in model.kinds():
                raise WrongTask(f"{name} does not answer {kind}: it answers {', '.join(model.kinds())}.")
            return model
        for model in self.models.values():
            if kind in model.kinds():
                return model
        raise WrongTask(f"no model answers {kind}.")

    def index(self) -> list[dict[str, Any]]:
        return [
            {"name": m.name, "version": m.version, "state": m.state, "reason": None, "task": m.task,
             "dtype": m.dtype, "kinds": m.kinds(), "loaded_at": m.loaded_at}
            for m in self.models.values()
        ]  # fmt: skip

    def load(self, name: str, source: str | None = None) -> None:
        self.loads.append((name, source))
        self.models[name] = FakeModel(name)

    def unload(self, name: str) -> None:
        self.get(name)
        del self.models[name]

    def drain(self, timeout: float) -> bool:
        for model in self.models.values():
            model.state = "draining"
        return True

    def close(self) -> None:
        self.is_closed = True


def two_models() -> FakeRepository:
    """One that answers everything but embeddings, and one that does nothing else."""
    rest = [kind for kind in KINDS if kind not in ("embed", "similarity")]
    return FakeRepository(FakeModel("answers", rest), FakeModel("vectors", ("embed", "similarity", "tokenize")))
