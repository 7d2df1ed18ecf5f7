"""Routes that clients of other servers call: `POST /embed`, `POST /predict`, with the bodies that these expect."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, RootModel, Tag

from .exchange import current
from .native import encoded
from .schemas import MANY, ONE, LabelScore, Taken, Text, TextInputs, TextOrPair, limited, one_or_many, within_limit
from .wire import Wire


class PlainEmbedRequest(Taken):
    """Texts to become vectors."""

    inputs: TextInputs
    normalize: bool = True
    truncate: bool = False
    dimensions: int | None = Field(None, ge=1, le=65_536)


class PlainPredictRequest(Taken):
    """Texts, or pairs of texts, to be given labels."""

    inputs: Annotated[
        Annotated[Text, Tag(ONE)]
        | Annotated[Annotated[list[TextOrPair], limited(), AfterValidator(within_limit)], Tag(MANY)],
        Discriminator(one_or_many),
    ]
    raw_scores: bool = Field(False, description="the network's own numbers in place of probabilities")
    truncate: bool = False


class PlainEmbedReply(RootModel[list[list[float]]]):
    """A vector for each input."""


class PlainPredictReply(RootModel[list[LabelScore] | list[list[LabelScore]]]):
    """Labels of the one text, or a list of them for each of several."""


def register(wire: Wire) -> None:
    """Add the routes."""

    def embed(body: PlainEmbedRequest) -> list[Any]:
        inputs = _inputs(body.inputs)
        options = body.model_dump(include={"normalize", "truncate", "dimensions"})
        return encoded(wire.ask("embed", None, inputs, options)[1].results, "float")

    def predict(body: PlainPredictRequest) -> list[Any]:
        inputs = [tuple(one) if isinstance(one, list) else one for one in _inputs(body.inputs)]
        options = {"activation": "none" if body.raw_scores else None, "truncate": body.truncate}
        results = wire.ask("classify", None, inputs, options)[1].results
        found: list[Any] = results if isinstance(body.inputs, list) else results[0]
        return found

    shared = {"method": "POST", "tag": "aliases", "is_counted": True}
    wire.add(path="/embed", name="plain_embed", summary="Make vectors: the bare list", view=embed,
             takes=PlainEmbedRequest, gives=PlainEmbedReply, **shared)  # fmt: skip
    wire.add(path="/predict", name="plain_predict", summary="Label texts: the bare list", view=predict,
             takes=PlainPredictRequest, gives=PlainPredictReply, **shared)  # fmt: skip


def _inputs(inputs: Any) -> list[Any]:
    is_many = isinstance(inputs, list)
    current().pointer = (lambda index: f"/inputs/{index}") if is_many else (lambda index: "/inputs")
    return inputs if is_many else [inputs]
