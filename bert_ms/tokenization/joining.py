"""Putting tokenised texts together: special tokens, truncation, windows."""

from __future__ import annotations

from typing import Literal, NamedTuple

from bert_ms.errors import TokenizerError, TooLongError
from bert_ms.records import Encoding
from bert_ms.tokenization.windows import longest_first, spans

Truncation = Literal["error", "longest_first", "only_first", "only_second"]
TRUNCATIONS = ("error", "longest_first", "only_first", "only_second")


class Text(NamedTuple):
    """One tokenised text: ids, with the place of each in the text."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Joiner(NamedTuple):
    """Makes `[CLS] text [SEP]` and `[CLS] text [SEP] pair [SEP]`.

    Attributes:
        cls_id: id of [CLS].
        sep_id: id of [SEP].
    """

    cls_id: int
    sep_id: int

    def fit(self, first: Text, second: Text | None, max_length: int | None, truncation: Truncation) -> Encoding:
        """One encoding, truncated to `max_length` where `truncation` allows it.

        Raises:
            TooLongError: it does not allow it, or cannot cut enough.
        """
        n, m = len(first.ids), 0 if second is None else len(second.ids)
        special = 2 if second is None else 3
        if max_length is None or n + m + special <= max_length:
            return self._join(first, (0, n), second, (0, m))
        room = max_length - special
        if truncation == "longest_first":
            keep = longest_first(n, m, room) if second is not None else (room, 0)
        else:
            keep = (room - m, m) if truncation == "only_first" else (n, room - n)
        if truncation == "error" or min(keep) < 0 or (second is None and truncation == "only_second"):
            raise _too_long(n, m if second is not None else None, special, max_length, truncation)
        return self._join(first, (0, keep[0]), second, (0, keep[1]))

    def windows(
        self, first: Text, second: Text | None, max_length: int, truncation: Truncation, stride: int
    ) -> list[Encoding]:
        """Windows over the second text, or over the first if it is the only one or with truncation="only_first".

        Raises:
            TokenizerError: a window has no room to move on.
        """
        n = len(first.ids)
        if second is None:
            return [self._join(first, span, None, (0, 0)) for span in spans(n, max_length - 2, stride)]
        m = len(second.ids)
        if truncation == "only_first":
            return [self._join(first, span, second, (0, m)) for span in spans(n, max_length - 3 - m, stride)]
        return [self._join(first, (0, n), second, span) for span in spans(m, max_length - 3 - n, stride)]

    def _join(self, first: Text, span: tuple[int, int], second: Text | None, other: tuple[int, int]) -> Encoding:
        # [CLS] first [SEP] second [SEP]: types 0 up to the first [SEP], 1 from there on
        begin, end, nowhere = [self.cls_id], [self.sep_id], [(0, 0)]
        a = slice(*span)
        ids, offsets = begin + first.ids[a] + end, nowhere + first.offsets[a] + nowhere
        types = [0] * len(ids)
        sequences: list[int | None] = [None, *[0] * (len(ids) - 2), None]
        if second is not None:
            b = slice(*other)
            ids, offsets = ids + second.ids[b] + end, offsets + second.offsets[b] + nowhere
            count = len(ids) - len(types)
            types, sequences = types + [1] * count, [*sequences, *[1] * (count - 1), None]
        return Encoding(ids, [1] * len(ids), types, offsets, sequences)


def check_arguments(max_length: int | None, truncation: str, stride: int | None, *, is_pair: bool) -> None:
    """Refuse arguments of `Tokenizer.encode` that make no sense together.

    Raises:
        TokenizerError: naming what was given and what was expected.
    """
    if truncation not in TRUNCATIONS:
        raise TokenizerError(f"truncation is {truncation!r}, expected one of {', '.join(TRUNCATIONS)}.")
    least = 3 if is_pair else 2
    if max_length is not None and max_length < least:
        raise TokenizerError(f"max_length is {max_length}, expected at least {least}, for the special tokens alone.")
    if stride is None:
        return
    if max_length is None or stride < 0:
        raise TokenizerError(f"stride is {stride} with max_length {max_length}: expected 0 or more, and a max_length.")
    if is_pair and truncation == "longest_first":
        raise TokenizerError("stride with truncation='longest_first' does not say which text to cut into windows: pass "
                             "truncation='only_first' or 'only_second'.")  # fmt: skip


def _too_long(first: int, second: int | None, special: int, max_length: int, truncation: str) -> TooLongError:
    if second is None:
        counted = f"the text has {first} tokens, with special tokens {first + special}"
        choices = "truncation='longest_first', or stride=... for windows"
    else:
        counted = f"the texts have {first} and {second} tokens, with special tokens {first + second + special}"
        choices = "truncation='longest_first', 'only_first' or 'only_second', or stride=... for windows"
    if truncation != "error":
        choices = f"another truncation than '{truncation}', which cannot cut enough here"
    return TooLongError(f"{counted}, more than max_length {max_length}", f"Shorten the text, or pass {choices}.")
