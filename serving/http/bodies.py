"""The body of a request: what it must be before it is looked at, JSON without ambiguity, and pydantic's findings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from bert_ms.errors import nearest

from .problems import Place, Refusal

Model = TypeVar("Model", bound=BaseModel)
MOST_PLACES = 20
MOST_LEVELS = 32
SHORT = 4096  # bytes of a body that holds no whole number that is too long for Python
# Tags of unions begin with this, so that they can be told from keys and left out of pointers.
TAG = "~"


def parse(body: bytes) -> Any:
    """JSON of a body.

    Args:
        body: UTF-8 without byte order mark.

    Raises:
        Refusal: 400, with the code invalid_utf8, too_deep, duplicate_key or invalid_json.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _no_json(body, error) from None
    texts = _count_texts(value)
    if len(body) <= SHORT and body.count(b'"') == 2 * texts:
        return value  # whatever stands between quotes is in it: no key was lost
    try:  # orjson keeps the last of two equal keys; what a proxy or a filter saw may have been the first
        _UNIQUE.decode(body.decode())
    except ValueError:  # digits beyond Python's limit: orjson took them for a float
        raise Refusal(400, "invalid_json", "a number in the body is out of range.") from None
    return value


def _count_texts(value: Any) -> int:
    """How many texts a value holds, keys among them.

    Raises:
        Refusal: it is nested deeper than Python's own limit of recursion, which is not the same everywhere, may allow.
    """
    level, texts = [[value]], 0
    for _ in range(MOST_LEVELS + 1):
        below: list[Any] = []
        for children in level:
            for child in children:
                if isinstance(child, str):
                    texts += 1
                elif isinstance(child, dict):
                    texts += len(child)
                    below.append(child.values())
                elif isinstance(child, list):
                    below.append(child)
        if not below:
            return texts
        level = below
    raise _too_deep()


def _unique(pairs: list[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refusal(400, "duplicate_key", f"the key {json.dumps(twice[:40])} stands twice in one object.")


_UNIQUE = json.JSONDecoder(object_pairs_hook=_unique)


def _no_json(body: bytes, error: orjson.JSONDecodeError) -> Refusal:
    if body[:3] == b"\xef\xbb\xbf" or body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return Refusal(400, "invalid_utf8", "the body begins with a byte order mark: send UTF-8 without one.")
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return Refusal(400, "invalid_utf8", f"byte {wrong.start} of the body is not UTF-8.")
    if "depth" in error.msg:
        return _too_deep()
    if not body.strip():
        return Refusal(400, "invalid_json", "the body is empty: expected a JSON object.")
    where = f"line {error.lineno}, column {error.colno}"
    return Refusal(400, "invalid_json", f"the body is no JSON: {error.msg} ({where}).")


def _too_deep() -> Refusal:
    return Refusal(400, "too_deep", f"the body is nested too deeply: expected at most {MOST_LEVELS} levels.")


def validated(kind: type[Model], value: Any, *, max_items: int) -> Model:
    """A body as its schema has it.

    Raises:
        Refusal: 422, with a pointer for each thing that is wrong.
    """
    try:
        return kind.model_validate(value, context={"max_items": max_items})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = [Place(pointer(one["loc"]), _sentence(one, kind)) for one in found[:MOST_PLACES]]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        where = places[0].pointer or "the body"
        raise Refusal(422, "invalid_request", f"{where} {places[0].detail}{more}", places) from None


def pointer(path: Sequence[int | str]) -> str:
    """A JSON pointer (RFC 6901) of pydantic's path.

    >>> pointer(("inputs", "~many", 3, "a/b"))
    '/inputs/3/a~1b'
    """
    parts = [str(part) for part in path if not (isinstance(part, str) and part.startswith(TAG))]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1")[:200] for part in parts)


def _sentence(error: Any, kind: type[BaseModel]) -> str:
    if error["type"] == "extra_forbidden":
        guess = nearest(str(error["loc"][-1]), kind.model_fields) if len(error["loc"]) == 1 else None
        return f"is not known here: did you mean {guess}?" if guess else "is not known here."
    if error["type"] in _SENTENCES:
        return _SENTENCES[error["type"]].format(**error.get("ctx", {}))
    text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{text[0].lower()}{text[1:]}."


_SENTENCES = {
    "missing": "is missing.",
    "string_type": "should be a text.",
    "int_type": "should be a whole number.",
    "int_from_float": "should be a whole number.",
    "float_type": "should be a number.",
    "bool_type": "should be true or false.",
    "list_type": "should be a list.",
    "dict_type": "should be an object.",
    "model_type": "should be an object.",
    "too_short": "has {actual_length} entries: expected at least {min_length}.",
    "too_long": "has {actual_length} entries: expected at most {max_length}.",
    "string_too_short": "is too short: expected at least {min_length} characters.",
    "string_too_long": "is too long: expected at most {max_length} characters.",
}
