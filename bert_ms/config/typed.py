"""Plain values as the type that a field declares, or a sentence saying why not."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from bert_ms.errors import nearest

# YAML 1.1, which PyYAML reads, takes 1e-4 for text: a float there needs a dot.
_FLOAT_TEXT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class Mismatch(Exception):
    """A value that is not of the type; its text says what was given and what was expected."""


def typed(value: Any, hint: Any) -> Any:
    """`value` as `hint` declares it.

    Args:
        value: what YAML read.
        hint: str, int, float, bool, None, a Literal, a Union or Optional of these, tuple[X, ...], tuple[X, Y] or
            Mapping[str, X].

    Returns:
        The value: whole numbers become floats and lists become tuples where the hint says so; nothing else changes.

    Raises:
        Mismatch: it is something else.
    """
    options = _options(hint)
    literals = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
    for option in options:
        try:
            return _as_one(value, option)
        except Mismatch:
            continue
    guess = nearest(value, map(str, literals)) if isinstance(value, str) and literals else None
    raise Mismatch(f"is {shown(value)}: expected {describe(hint)}{f', probably {guess}' if guess else ''}.")


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _as_one(value: Any, hint: Any) -> Any:
    if hint is type(None):
        accepted = value is None
    elif get_origin(hint) is Literal:
        accepted = any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    elif get_origin(hint) is tuple:
        return _as_tuple(value, get_args(hint))
    elif get_origin(hint) is Mapping:
        return _as_mapping(value, get_args(hint)[1])
    elif hint is float:
        return _as_float(value)
    else:
        accepted = type(value) is hint  # not isinstance: True is an int, too
    if not accepted:
        raise Mismatch
    return value


def _as_float(value: Any) -> float:
    if isinstance(value, str) and _FLOAT_TEXT.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise Mismatch
    return float(value)


def _as_tuple(value: Any, items: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise Mismatch
    hints = items[:1] * len(value) if items[-1] is Ellipsis else items
    if len(hints) != len(value):
        raise Mismatch
    return tuple(typed(item, hint) for item, hint in zip(value, hints, strict=True))


def _as_mapping(value: Any, item: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Mismatch
    return {str(key): typed(one, item) for key, one in value.items()}


def describe(hint: Any) -> str:
    """What a field takes, in words: "a whole number or null"."""
    return " or ".join(_describe_one(option) for option in _options(hint))


def _describe_one(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint))) if len(get_args(hint)) > 1 else str(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return "a mapping"
    if get_origin(hint) is tuple:
        items = get_args(hint)
        if items[-1] is Ellipsis:
            return f"a list such as [{_EXAMPLES[items[0]]}]" if items[0] in _EXAMPLES else "a list"
        return f"a list of {len(items)}, [{', '.join(_EXAMPLES[item] for item in items)}]"
    return _WORDS[hint]


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}
_EXAMPLES = {str: "a, b", int: "32, 64", float: "0.9"}


def shown(value: Any) -> str:
    """A value as an error shows it: YAML's words for null and booleans, cut to a line."""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
