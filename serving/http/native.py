"""The native wire: `POST /api/v1/...`, a route for each kind of request."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..faults import EngineError
from ..service import Reply
from . import schemas as s
from .exchange import current
from .wire import Wire

_FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True)
class Kind:
    """A kind of request.

    Attributes:
        name: as models know it.
        summary: one line.
        takes: schema of the request.
        gives: schema of the reply.
        options: schema of what is neither `inputs` nor `model`.
        item: makes an input as models take it.
    """

    name: str
    summary: str
    takes: type[s.Taken]
    gives: type[BaseModel]
    options: type[s.Taken]
    item: Callable[[Any], Any]

    @functools.cached_property
    def option_names(self) -> tuple[str, ...]:
        """Of `options`; their values are plain ones."""
        return tuple(self.options.model_fields)


def _same(value: Any) -> Any:
    return value


def _dumped(value: BaseModel) -> Any:
    return value.model_dump()


def _text_or_pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


KINDS = {
    kind.name: kind
    for kind in (
        Kind("qa", "Answer questions from the passages that hold the answers", s.QaRequest, s.QaReply, s.QaOptions,
             _dumped),
        Kind("classify", "Label texts or pairs of texts", s.ClassifyRequest, s.ClassifyReply, s.ClassifyOptions,
             _text_or_pair),
        Kind("ner", "Find entities in texts", s.NerRequest, s.NerReply, s.NerOptions, _same),
        Kind("fill-mask", "Find words for the gaps of texts", s.FillMaskRequest, s.FillMaskReply, s.FillMaskOptions,
             _same),
        Kind("embed", "Make vectors of texts", s.EmbedRequest, s.EmbedReply, s.EmbedOptions, _same),
        Kind("similarity", "Compare a text with others", s.SimilarityRequest, s.SimilarityReply, s.SimilarityOptions,
             _dumped),
        Kind("tokenize", "Make token ids of texts", s.TokenizeRequest, s.TokenizeReply, s.TokenizeOptions, _same),
    )
}  # fmt: skip


def register(wire: Wire) -> None:
    """Add the routes."""
    for kind in KINDS.values():
        wire.add(
            method="POST",
            path=f"/api/v1/{kind.name}",
            name=kind.name.replace("-", "_"),
            summary=kind.summary,
            tag="native",
            view=_view(wire, kind),
            takes=kind.takes,
            gives=kind.gives,
            is_counted=True,
        )


def _view(wire: Wire, kind: Kind) -> Callable[..., Any]:
    def view(body: Any) -> dict[str, Any]:
        model, reply = answer(wire, kind, body)
        results = reply.results
        found: dict[str, Any] = {"model": model.name, "version": model.version}
        if kind.name == "qa":
            results = [{**one, "usage": usage} for one, usage in zip(results, reply.usage, strict=True)]
        else:
            found["usage"] = reply.usage
        if kind.name == "embed":
            results = encoded(results, body.encoding_format)
        return {**found, "results": results}

    return view


def answer(wire: Wire, kind: Kind, body: Any) -> tuple[Any, Reply]:
    """A model's answer to a native request, and which model's."""
    is_many = isinstance(body.inputs, list)
    inputs = body.inputs if is_many else [body.inputs]
    current().pointer = (lambda index: f"/inputs/{index}") if is_many else (lambda index: "/inputs")
    options = {name: getattr(body, name) for name in kind.option_names}
    return wire.ask(kind.name, body.model, [kind.item(one) for one in inputs], options)


def encoded(vectors: Sequence[np.ndarray], encoding: str) -> list[Any]:
    """Vectors as lists of numbers, or as base64 of their little-endian float32.

    Raises:
        EngineError: there is a number in them that is none.
    """
    rows = [np.ascontiguousarray(vector, _FLOAT32) for vector in vectors]
    if not all(np.isfinite(row).all() for row in rows):
        raise EngineError("the network gave a vector with NaN or infinity.")
    if encoding == "base64":
        return [base64.b64encode(row.tobytes()).decode() for row in rows]
    return rows
