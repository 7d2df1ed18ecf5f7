"""Many texts to flat arrays of ids and places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import tokenizers

from bert_ms.tokenization import backend

# So many texts are tokenised before their tokens are put into arrays, which take a tenth of the memory.
_CHUNK = 2048


class RaggedTokens(NamedTuple):
    """Many tokenised texts, one after the other: text i is `[row_splits[i]:row_splits[i + 1]]`.

    Attributes:
        ids: int32 [T].
        offsets: int32 [T, 2], code points of the text; None when not asked for.
        row_splits: int64 [texts + 1].
    """

    ids: np.ndarray
    offsets: np.ndarray | None
    row_splits: np.ndarray


def encode(tokenizer: tokenizers.Tokenizer, texts: Sequence[str], *, offsets: bool, parallel: bool) -> RaggedTokens:
    """Tokenise texts without special tokens; arguments as those of `backend.run`."""
    ids: list[np.ndarray] = [np.zeros(0, np.int32)]
    places: list[np.ndarray] = [np.zeros((0, 2), np.int32)]
    counts: list[int] = []
    for begin in range(0, len(texts), _CHUNK):
        encodings = backend.run(tokenizer, texts[begin : begin + _CHUNK], offsets=offsets, parallel=parallel)
        counts.extend(map(len, encodings))
        ids.append(np.fromiter(chain.from_iterable(e.ids for e in encodings), np.int32))
        if offsets:
            flat = chain.from_iterable(chain.from_iterable(e.offsets for e in encodings))
            places.append(np.fromiter(flat, np.int32).reshape(-1, 2))
    row_splits = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(counts, out=row_splits[1:])
    return RaggedTokens(np.concatenate(ids), np.concatenate(places) if offsets else None, row_splits)
