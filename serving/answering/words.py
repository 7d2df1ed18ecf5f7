"""Ids of plain texts from words that were seen before, for which no tokenizer is asked again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bert_ms.tokenization import Tokenizer
from bert_ms.tokenization.options import SPECIAL_TOKENS

MOST_WORDS = 50_000
LONGEST_WORD = 32
# ASCII without control characters, and without those that one of its special tokens has at least.
_PLAIN = re.compile(r"[ !\"#$%&'()*+,\-./0-9:;=?@A-Z^_`a-z~]*")


class Words:
    """What a tokenizer makes of each word, as far as it was seen.

    A word is what stands between two blanks. Of plain ASCII a tokenizer makes the same of it in every text, so that a
    text of known words has known ids. That costs a tenth of asking the tokenizer, which for short texts takes longer
    than anything else that the front process does.

    Args:
        tokenizer: whose special tokens are no plain words; of another one no text is known.
    """

    def __init__(self, tokenizer: Tokenizer):
        options = tokenizer.options
        special = [getattr(options, name) for name in SPECIAL_TOKENS]
        whole = (*special, *options.additional_special_tokens, *options.never_split)
        self._is_used = not any(_PLAIN.fullmatch(token) for token in whole)
        self._first, self._last = tokenizer.cls_token_id, tokenizer.sep_token_id
        self._known = _none()

    def ids(self, text: str) -> list[int] | None:
        """Ids of a text with [CLS] and [SEP]; None where the tokenizer has to be asked."""
        if not _PLAIN.fullmatch(text):
            return None
        ids, known = [self._first], self._known
        try:
            for word in text.split(" "):
                ids += known[word]
        except KeyError:
            return None
        ids.append(self._last)
        return ids

    def learn(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> None:
        """Remember the words of a text that the tokenizer was asked for.

        Args:
            text: the text.
            ids: what came of all of it, with [CLS] and [SEP].
            offsets: of the ids in the text.
        """
        if not self._is_used or not _PLAIN.fullmatch(text):
            return
        known = self._known if len(self._known) < MOST_WORDS else _none()
        end, place = -1, 1
        for word in text.split(" "):
            end += 1 + len(word)
            begin = place
            while place < len(ids) - 1 and offsets[place][1] <= end:
                place += 1
            if len(word) <= LONGEST_WORD:
                known[word] = tuple(ids[begin:place])
        self._known = known


def _none() -> dict[str, Sequence[int]]:
    """Words that need not be learnt: what stands between two blanks of which one follows the other."""
    return {"": ()}
