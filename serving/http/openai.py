"""OpenAI's wire for embeddings: `POST /v1/embeddings`, `GET /v1/models`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from ..faults import ServiceFault
from .bodies import TAG
from .exchange import current
from .native import encoded
from .schemas import MAX_ITEMS_MARK, Given, Taken, within_limit
from .wire import Wire

MAX_IDS = 65_536
_TEXT, _TEXTS, _IDS, _MANY_IDS = (f"{TAG}{name}" for name in ("text", "texts", "ids", "many_ids"))
Id = Annotated[int, Field(ge=0, le=2**31 - 1)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=MAX_IDS)]
_limited = Field(min_length=1, json_schema_extra={MAX_ITEMS_MARK: True})


def _kind(value: Any) -> str:
    if not isinstance(value, list):
        return _TEXT
    first = value[0] if value else ""
    return _MANY_IDS if isinstance(first, list) else _IDS if isinstance(first, (int, float)) else _TEXTS


class EmbeddingsRequest(Taken):
    """Texts, or token ids with the special ones, to become vectors."""

    input: Annotated[
        Annotated[str, Tag(_TEXT)]
        | Annotated[Annotated[list[str], _limited, AfterValidator(within_limit)], Tag(_TEXTS)]
        | Annotated[Ids, Tag(_IDS)]
        | Annotated[Annotated[list[Ids], _limited, AfterValidator(within_limit)], Tag(_MANY_IDS)],
        Discriminator(_kind),
    ]
    model: str | None = Field(None, max_length=128, description="default the first one that embeds")
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, le=65_536)
    user: str | None = Field(None, max_length=1000, description="taken, and not used")
    truncate: bool = Field(False, description="not OpenAI's: cut texts that are too long, which is an error otherwise")


class Embedding(Given):
    """One vector."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class TokenUsage(Given):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(Given):
    """A vector for each input."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


class ModelCard(Given):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Given):
    """Models of every kind."""

    object: Literal["list"]
    data: list[ModelCard]


def register(wire: Wire) -> None:
    """Add the routes."""

    def embeddings(body: EmbeddingsRequest) -> dict[str, Any]:
        is_many = _kind(body.input) in (_TEXTS, _MANY_IDS)
        inputs = body.input if is_many else [body.input]
        current().pointer = (lambda index: f"/input/{index}") if is_many else (lambda index: "/input")
        options = {"dimensions": body.dimensions, "truncate": body.truncate}
        model, reply = wire.ask("embed", body.model, inputs, options)
        vectors = encoded(reply.results, body.encoding_format)
        tokens = current().tokens
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)],
            "model": model.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def models() -> dict[str, Any]:
        cards = []
        for name in wire.repository.names():
            try:
                cards.append(model(name))
            except ServiceFault:  # it went away meanwhile
                continue
        return {"object": "list", "data": cards}

    def model(name: str) -> dict[str, Any]:
        found = wire.repository.get(name)
        return {"id": found.name, "object": "model", "created": int(found.loaded_at), "owned_by": "bert-ms"}

    shared = {"tag": "openai"}
    wire.add(method="POST", path="/v1/embeddings", name="openai_embeddings", view=embeddings, is_counted=True,
             summary="Make vectors, as OpenAI's clients ask for them", takes=EmbeddingsRequest, gives=EmbeddingsReply,
             **shared)  # fmt: skip
    wire.add(method="GET", path="/v1/models", name="openai_models", view=models, summary="List the models",
             gives=ModelList, **shared)  # fmt: skip
    wire.add(method="GET", path="/v1/models/<name>", name="openai_model", view=model, summary="Say what a model is",
             gives=ModelCard, may_fail=(404,), **shared)  # fmt: skip
