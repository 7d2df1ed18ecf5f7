"""Requests of known length, no two of them alike."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

# Words that are one piece each in the usual English vocabularies.
WORDS = (
    "the", "of", "and", "to", "in", "was", "for", "on", "with", "as", "at", "by", "from", "that", "this", "his",
    "her", "they", "which", "one", "two", "first", "new", "year", "time", "city", "state", "world", "war", "school",
    "house", "water", "land", "people", "church", "river", "road", "day", "man", "life", "part", "group", "team",
    "game", "season", "music", "film", "book", "line", "area", "north", "south", "east", "west", "high", "long",
    "small", "large", "early", "late", "little", "old", "young", "great", "public", "national", "local",
)  # fmt: skip
LENGTHS = ("8", "32", "128", "384", "zipf")
MOST = 384  # tokens of a text
STEP = 8
OPENAI = "openai"  # vectors by the route of OpenAI's API, which other servers have too
KINDS = ("embed", "classify", "ner", "qa", "fill-mask", OPENAI)


def lengths(name: str, rng: random.Random) -> Iterator[int]:
    """Tokens of one text after the other.

    Args:
        name: a number, or "zipf": 8k tokens with a probability that is as 1/k, for k from 1 to 48.
        rng: where chance comes from.

    Raises:
        ValueError: it is neither.
    """
    if name == "zipf":
        ranks = range(1, MOST // STEP + 1)
        while True:
            yield STEP * rng.choices(ranks, [1 / k for k in ranks])[0]
    number = int(name)
    if not STEP <= number <= 512:
        raise ValueError(f"length is {number}: expected {STEP} to 512 tokens, or zipf")
    while True:
        yield number


def text(tokens: int, rng: random.Random) -> str:
    """Words that are about so many tokens with [CLS] and [SEP]."""
    return " ".join(rng.choices(WORDS, k=max(1, tokens - 2)))


def path_of(kind: str) -> str:
    """The route that takes the bodies of `requests`."""
    return "/v1/embeddings" if kind == OPENAI else f"/api/v1/{kind}"


def requests(kind: str, length: str, seed: int, model: str | None = None) -> Iterator[bytes]:
    """Bodies for the route of a kind, one input each.

    Raises:
        ValueError: the kind or the length is none.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: expected one of {', '.join(KINDS)}")
    rng = random.Random(seed)
    make: dict[str, Callable[[int], object]] = {
        "qa": lambda tokens: {"question": text(6, rng), "context": text(tokens - 5, rng)},
        "fill-mask": lambda tokens: f"{text(tokens - 1, rng)} [MASK]",
    }
    named = {"model": model} if model else {}
    for tokens in lengths(length, rng):
        one = make[kind](tokens) if kind in make else text(tokens, rng)
        yield json.dumps({"input" if kind == OPENAI else "inputs": [one], **named}).encode()
