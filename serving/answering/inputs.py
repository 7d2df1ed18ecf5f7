"""Inputs that can be answered; of those that cannot, which one it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from bert_ms.errors import BertMsError, ConfigError, DataError, TokenizerError, TooLongError
from bert_ms.tokenization import Tokenizer

from ..faults import BadItem

_FORMS = {
    "qa": "a mapping of question and context",
    "classify": "a text, or a pair of texts",
    "embed": "a text, or a list of token ids",
    "similarity": "a mapping of source and sentences",
}
_CUT_ON_REQUEST = ("classify", "embed", "similarity")  # kinds with the option `truncate`


class Reached(Exception):
    """A row was ready for its network: nothing is wrong with its input."""


class NoQueue:
    """Stands for a `QueueBackend` where only the way to it is of interest."""

    outputs: tuple[str, ...] = ()
    row_outputs: tuple[str, ...] = ()

    def run_features(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `Reached`."""
        raise Reached

    def vectors(self, *args: Any, **kwargs: Any) -> Any:
        """Raises `Reached`."""
        raise Reached


def check(kind: str, inputs: Sequence[Any]) -> None:
    """See that every input has its kind's form, and texts with something in them.

    Raises:
        BadItem: bad_input or empty_input, with the number of the first that has not.
    """
    if not inputs:
        raise BadItem("there is no input: expected at least one.", code="empty_input")
    for index, item in enumerate(inputs):
        for text in _texts(kind, item, index):
            if not text.strip():
                raise BadItem("the text is empty.", code="empty_input", index=index)
            try:
                text.encode()
            except UnicodeEncodeError as error:
                at = f"U+{ord(text[error.start]):04X} at character {error.start}"
                raise BadItem(
                    f"the text is no valid Unicode: half a surrogate pair, {at}.", code="bad_input", index=index
                ) from None


def blame(
    kind: str,
    inputs: Sequence[Any],
    options: Iterable[str],
    error: BertMsError,
    *,
    attempt: Callable[[Sequence[Any]], Any],
    tokenizer: Tokenizer,
    longest: int,
) -> BadItem:
    """The fault for a request that could not be read, with the number of the first input that cannot.

    Args:
        kind: of the request.
        inputs: all of them.
        options: names of those that were given.
        error: what reading them raised.
        attempt: reads some inputs, as far as the queue; raises `Reached` where nothing is wrong.
        tokenizer: of the network.
        longest: tokens of its longest row.
    """
    for index, item in enumerate(inputs):
        try:
            attempt([item])
        except Reached:
            continue
        except ConfigError as option:
            return _of_option(option, options, "bad_option")
        except TooLongError as cause:
            cut = ', or ask for its end to be cut off ("truncate": true)' if kind in _CUT_ON_REQUEST else ""
            return BadItem(f"{cause.counted}: shorten it{cut}.", code="too_long", index=index)
        except (DataError, TokenizerError) as cause:
            said = str(cause)
            for name in ("input {} ", "question '{}'"):  # it was tried alone, so it was number 0
                said = said.replace(name.format(0), name.format(index), 1)
            return BadItem(said, code=_code(kind, item, index, tokenizer, longest), index=index)
    return _of_option(error, options, "bad_option" if isinstance(error, ConfigError) else "bad_input")


def _of_option(error: BertMsError, options: Iterable[str], code: str) -> BadItem:
    """The fault of no single input; errors of options begin with the option's name."""
    first = str(error).split(" ")[0]
    return BadItem(
        str(error), code=code, field=next((name for name in options if first in (name, name.removesuffix("s"))), None)
    )


def _code(kind: str, item: Any, index: int, tokenizer: Tokenizer, longest: int) -> str:
    texts = _texts(kind, item, index)
    if kind == "fill-mask" and tokenizer.options.mask_token not in texts[0]:
        return "no_mask"
    tokens = sum(len(tokenizer.encode(text).input_ids) for text in texts)
    return "too_long" if tokens > longest else "bad_input"


def _texts(kind: str, item: Any, index: int) -> list[str]:
    """The texts of an input."""
    found: list[Any] | None = None
    if kind == "qa" and isinstance(item, dict) and set(item) == {"question", "context"}:
        found = [item["question"], item["context"]]
    elif kind == "similarity" and isinstance(item, dict) and set(item) == {"source", "sentences"}:
        sentences = item["sentences"]
        found = [item["source"], *sentences] if isinstance(sentences, (list, tuple)) and sentences else None
    elif kind == "classify" and isinstance(item, (list, tuple)) and len(item) == 2:
        found = list(item)
    elif kind == "embed" and isinstance(item, (list, tuple)) and item:
        found = [] if all(type(part) is int for part in item) else None
    elif kind not in ("qa", "similarity"):
        found = [item]
    if found is None or not all(isinstance(text, str) for text in found):
        expected = _FORMS.get(kind, "a text")
        raise BadItem(f"expected {expected}, got {type(item).__name__}.", code="bad_input", index=index)
    return found
