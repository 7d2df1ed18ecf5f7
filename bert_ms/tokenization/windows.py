"""Where the windows over a long text begin, with what is cut from a text that is too long."""

from __future__ import annotations

import numpy as np

from bert_ms.errors import TokenizerError


def count_windows(lengths: np.ndarray, room: np.ndarray, advance: np.ndarray) -> np.ndarray:
    """How many windows cover texts; at least one each, so that no text is lost.

    The first window starts at token 0, each next one `advance` further, until one reaches the text's end.

    Args:
        lengths: int [N], tokens of each text.
        room: int [N], tokens of a text that fit into one window, at least 1 where the text has any.
        advance: int [N], at least 1 where a text is longer than its room.

    Returns:
        int64 [N], at least 1.
    """
    beyond = np.maximum(lengths - room, 0)
    return 1 + -(-beyond // np.maximum(advance, 1))


def spans(length: int, room: int, overlap: int) -> list[tuple[int, int]]:
    """Windows of at most `room` tokens that share `overlap` tokens with the next, as (start, end).

    Raises:
        TokenizerError: windows would never move on.
    """
    if length > room and room <= overlap:
        raise TokenizerError(
            f"a window has room for {max(room, 0)} tokens of the text, not more than the stride {overlap} that two "
            f"windows share: raise max_length or lower stride."
        )
    advance = room - overlap
    count = int(count_windows(np.array(length), np.array(room), np.array(advance)))
    return [(i * advance, min(i * advance + room, length)) for i in range(count)]


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens that are kept of two texts when tokens are taken from whichever is longer.

    When both have to be cut, each keeps half, and the longer one has the odd token.

    Source: the `tokenizers` library, truncation strategy LongestFirst; agreement is tested.
    """
    if first + second <= room:
        return first, second
    short, long = min(first, second), max(first, second)
    if short > room // 2:
        short, long = room // 2, room - room // 2
    else:
        long = room - short
    return (short, long) if first <= second else (long, short)
