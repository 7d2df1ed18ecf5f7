"""What the native wire takes and gives, as pydantic models; the description of the wire is made from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationInfo

from .bodies import TAG

MAX_ITEMS_MARK = "x-max-items"  # the description puts the server's limit in its place
ONE, MANY = f"{TAG}one", f"{TAG}many"


class Taken(BaseModel):
    """What is read: strictly typed, and nothing that is not named."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True
    )


class Given(BaseModel):
    """What is written; later versions may add to it."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


def one_or_many(value: Any) -> str:
    """The tag of an input that may stand alone."""
    return MANY if isinstance(value, list) else ONE


def within_limit(value: list[Any], info: ValidationInfo) -> list[Any]:
    """A list of not more inputs than the server takes."""
    limit = (info.context or {}).get("max_items")
    if limit is not None and len(value) > limit:
        raise ValueError(f"has {len(value)} inputs, the most are {limit}: send them in several requests")
    return value


Text = Annotated[str, Field(description="a text; offsets in answers count its Unicode code points")]
Pair = Annotated[list[str], Field(min_length=2, max_length=2, description="a text and its pair")]


def limited() -> Any:
    return Field(min_length=1, json_schema_extra={MAX_ITEMS_MARK: True})


Texts = Annotated[list[Text], limited(), AfterValidator(within_limit)]
TextInputs = Annotated[Annotated[Text, Tag(ONE)] | Annotated[Texts, Tag(MANY)], Discriminator(one_or_many)]


def _text_or_pair(value: Any) -> str:
    return f"{TAG}pair" if isinstance(value, list) else f"{TAG}text"


TextOrPair = Annotated[
    Annotated[Text, Tag(f"{TAG}text")] | Annotated[Pair, Tag(f"{TAG}pair")], Discriminator(_text_or_pair)
]
ModelName = Annotated[
    str | None, Field(max_length=128, description="a model's name; default the first one that answers this kind")
]


class Question(Taken):
    """A question on a passage."""

    question: str
    context: Text


Questions = Annotated[list[Question], limited(), AfterValidator(within_limit)]


class QaOptions(Taken):
    """How answers are chosen."""

    top_k: int = Field(3, ge=1, le=100, description="answers to a question")
    max_answer_len: int = Field(30, ge=1, le=512, description="longest answer in tokens")
    doc_stride: int | None = Field(
        None, ge=1, le=8192, description="tokens that two windows share; default 128, less where windows are short"
    )
    handle_impossible: bool = Field(True, description="whether the best answer may be none: an empty text")
    null_threshold: float = Field(
        0.0, ge=-1000, le=1000, description="none is best where its score exceeds the others' by more than this"
    )


class QaRequest(QaOptions):
    """Questions on passages."""

    inputs: Annotated[
        Annotated[Question, Tag(ONE)] | Annotated[Questions, Tag(MANY)], Discriminator(one_or_many)
    ]
    model: ModelName = None


class ClassifyOptions(Taken):
    """Which labels, and what their scores are."""

    top_k: int | None = Field(None, ge=1, le=10_000, description="labels of a text, best first; default all")
    activation: Literal["softmax", "sigmoid", "none"] | None = Field(None, description="default the model's own")
    truncate: bool = Field(False, description="cut texts that are too long, which is an error otherwise")


class ClassifyRequest(ClassifyOptions):
    """Texts, or pairs of texts, to be given labels."""

    inputs: Annotated[
        Annotated[Text, Tag(ONE)]
        | Annotated[Annotated[list[TextOrPair], limited(), AfterValidator(within_limit)], Tag(MANY)],
        Discriminator(one_or_many),
    ]
    model: ModelName = None


class NerOptions(Taken):
    """How pieces become entities."""

    aggregation: Literal["none", "simple", "first", "average", "max"] = "simple"


class NerRequest(NerOptions):
    """Texts whose entities are to be found."""

    inputs: TextInputs
    model: ModelName = None


class FillMaskOptions(Taken):
    """Which words are ranked."""

    top_k: int = Field(5, ge=1, le=1000, description="words for each gap")
    targets: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        None, min_length=1, max_length=1000, description="rank these only; each is one piece of the vocabulary"
    )


class FillMaskRequest(FillMaskOptions):
    """Texts with one [MASK] or several."""

    inputs: TextInputs
    model: ModelName = None


class EmbedOptions(Taken):
    """How a text becomes a vector."""

    pooling: Literal["cls", "mean", "max"] | None = Field(None, description="default the model's own")
    normalize: bool = Field(True, description="vectors of length 1")
    dimensions: int | None = Field(None, ge=1, le=65_536, description="so many first numbers; default all")
    truncate: bool = Field(False, description="cut texts that are too long, which is an error otherwise")


class EmbedRequest(EmbedOptions):
    """Texts to become vectors."""

    inputs: TextInputs
    encoding_format: Literal["float", "base64"] = Field("float", description="base64: of little-endian float32")
    model: ModelName = None


class Comparison(Taken):
    """A text, and others that are compared with it."""

    source: Text
    sentences: Texts


def _sentences_within_limit(value: list[Comparison], info: ValidationInfo) -> list[Comparison]:
    within_limit([sentence for one in value for sentence in one.sentences], info)
    return value


Comparisons = Annotated[list[Comparison], limited(), AfterValidator(_sentences_within_limit)]


class SimilarityOptions(Taken):
    """How the vectors that are compared are made."""

    pooling: Literal["cls", "mean", "max"] | None = Field(None, description="default the model's own")
    truncate: bool = False


class SimilarityRequest(SimilarityOptions):
    """Texts to be compared; the sentences of all inputs count as items."""

    inputs: Annotated[
        Annotated[Comparison, Tag(ONE)] | Annotated[Comparisons, Tag(MANY)], Discriminator(one_or_many)
    ]
    model: ModelName = None


class TokenizeOptions(Taken):
    """There are none."""


class TokenizeRequest(TokenizeOptions):
    """Texts to become token ids."""

    inputs: TextInputs
    model: ModelName = None


class Usage(Given):
    """What an input was made of."""

    tokens: int
    windows: int = Field(description="rows that it was read in")
    truncated: bool


class Answer(Given):
    """A part of the passage; `context[start:end] == text`."""

    text: str
    start: int
    end: int
    score: float


class QaResult(Given):
    """Answers to one question, best first."""

    answers: list[Answer]
    null_score_diff: float | None = Field(description="score of no answer less that of the best one")
    usage: Usage


class LabelScore(Given):
    """A label."""

    label: str
    score: float


class Entity(Given):
    """A part of the text; `text[start:end] == text` of it."""

    entity: str
    text: str
    start: int
    end: int
    score: float


class Filling(Given):
    """A word for a gap, and the text with it."""

    token: int
    token_str: str
    score: float
    sequence: str


class Tokens(Given):
    """Token ids of a text with the special ones, and where each stands in it."""

    input_ids: list[int]
    tokens: list[str]
    offsets: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


class _Reply(Given):
    model: str
    version: str = Field(description="first digits of the sha256 of its weights")


class QaReply(_Reply):
    """Answers, one result for each input."""

    results: list[QaResult]


class _PlainReply(_Reply):
    usage: list[Usage]


class ClassifyReply(_PlainReply):
    """Labels, one list for each input."""

    results: list[list[LabelScore]]


class NerReply(_PlainReply):
    """Entities, one list for each input."""

    results: list[list[Entity]]


class FillMaskReply(_PlainReply):
    """For each input a list for each of its gaps."""

    results: list[list[list[Filling]]]


class EmbedReply(_PlainReply):
    """A vector for each input."""

    results: list[list[float] | str]


class SimilarityReply(_PlainReply):
    """Cosines, one list for each input."""

    results: list[list[float]]


class TokenizeReply(_PlainReply):
    """Tokens of each input."""

    results: list[Tokens]
