"""Which word pieces are inside a word, so that whole words can be masked; what a word is in Chinese is a choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bert_ms.errors import DataError
from bert_ms.tokenization import Tokenizer
from bert_ms.tokenization.bulk import RaggedTokens
from bert_ms.tokenization.vocabulary import read_text

# A sentence as the words that it is made of, in order; blanks between them may be left out.
Segment = Callable[[str], Sequence[str]]
MAX_DICTIONARY_BYTES = 256 * 2**20
# Blocks that BERT's tokenizer splits into characters. Source: google-research/bert, `_is_chinese_char`.
_CHINESE = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))


class Dictionary:
    """Cuts a sentence by taking the longest word that stands at each place (forward maximum matching).

    Args:
        words: that are known; a character that begins none of them is a word of its own.
    """

    def __init__(self, words: Sequence[str]):
        self.words = frozenset(words)
        self.longest = max(map(len, self.words), default=1)

    @classmethod
    def from_file(cls, path: str | Path) -> Dictionary:
        """Read one word a line; what follows a blank or tab on a line (a frequency, say) is left out.

        Raises:
            DataError: the file cannot be read, or holds no words.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise DataError(
                f"pretraining.chinese_words is {path}, and there is no such file: name a file with one word a line, or "
                f"say 'characters' or 'spaces'."
            )
        lines = read_text(file, max_bytes=MAX_DICTIONARY_BYTES).split("\n")
        words = [parts[0] for line in lines if (parts := line.split())]
        if not words:
            raise DataError(f"{path} is empty: expected one word a line.")
        return cls(words)

    def __call__(self, text: str) -> list[str]:
        """The words of a text."""
        found, at = [], 0
        while at < len(text):
            longest = min(self.longest, len(text) - at)
            size = next((n for n in range(longest, 1, -1) if text[at : at + n] in self.words), 1)
            found.append(text[at : at + size])
            at += size
        return found


def segmenter(chinese_words: str) -> Segment | None:
    """What `pretraining.chinese_words` asks for; None where characters are words."""
    if chinese_words == "characters":
        return None
    return str.split if chinese_words == "spaces" else Dictionary.from_file(chinese_words)


def continuations(tokenizer: Tokenizer) -> np.ndarray:
    """Which pieces of a vocabulary continue a word (`##ing`), bool [V]."""
    return np.array([word.startswith("##") and len(word) > 2 for word in tokenizer.vocabulary])


def inside(
    tokens: RaggedTokens, is_continuation: np.ndarray, sentences: Sequence[str], segment: Segment | None
) -> np.ndarray:
    """Which tokens belong to the same word as the token before them, bool [T].

    Args:
        tokens: of the sentences, with their places where there is a `segment`.
        is_continuation: of `continuations`.
        sentences: the texts.
        segment: cuts Chinese into words; characters that touch and stand in one of its words are one word.
    """
    is_inside = is_continuation[tokens.ids]
    if segment is not None:
        assert tokens.offsets is not None
        for sentence, begin, end in zip(sentences, tokens.row_splits[:-1], tokens.row_splits[1:], strict=True):
            is_inside[begin:end] |= _inside_chinese(sentence, tokens.offsets[begin:end], segment)
    is_inside[tokens.row_splits[:-1][np.diff(tokens.row_splits) > 0]] = False  # a sentence begins with a word
    return is_inside


def _inside_chinese(sentence: str, offsets: np.ndarray, segment: Segment) -> np.ndarray:
    is_chinese = np.array([_is_chinese(character) for character in sentence] or [False])
    word = np.zeros(len(sentence) + 1, np.int64)  # number of the word that each character is in
    at = 0
    for number, text in enumerate(segment(sentence)):
        found = sentence.find(text, at)
        if found < 0:
            raise DataError(
                f"the segmentation of {sentence[:40]!r} has {text!r}, which does not stand there: its words must be "
                f"those of the sentence, in order."
            )
        at = found + len(text)
        word[found:at] = number + 1
    starts, ends = offsets[:, 0], offsets[:, 1]
    result = np.zeros(len(offsets), bool)
    touches = (starts[1:] == ends[:-1]) & is_chinese[starts[1:]] & is_chinese[starts[:-1]]
    result[1:] = touches & (word[starts[1:]] == word[starts[:-1]])
    return result


def _is_chinese(character: str) -> bool:
    code = ord(character)
    return any(low <= code <= high for low, high in _CHINESE)
