"""Reading a WordPiece vocabulary, one word piece a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bert_ms.errors import TokenizerError

MAX_BYTES = 64 * 2**20
MAX_WORDS = 4_000_000


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """A small UTF-8 file as text, without the byte order mark that some editors put in front.

    Raises:
        TokenizerError: the file is missing, larger than `max_bytes`, or not UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise TokenizerError(f"{path} has {size:,} bytes, expected at most {max_bytes:,}: is this the right file?")
        data = path.read_bytes()
    except FileNotFoundError:
        raise TokenizerError(f"{path} does not exist.") from None
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TokenizerError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} in line {line}. Expected a text file in UTF-8: "
            f"convert it, or name the right file."
        ) from None


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The word pieces of a vocabulary file in the order of their ids.

    Lines end with a line feed, or with carriage return and line feed. Only these end a line: real vocabularies hold
    other separators (U+2028, for one) as word pieces.

    Raises:
        TokenizerError: the file is missing, too large, not UTF-8, or empty.
    """
    lines = read_text(path).split("\n")
    words = [line[:-1] if line.endswith("\r") else line for line in lines]
    while words and not words[-1]:
        words.pop()
    if not words:
        raise TokenizerError(f"{path} is empty: expected a vocabulary with one word piece a line.")
    return tuple(words)


def check_vocabulary(words: Sequence[str], *, required: Iterable[str], source: str) -> dict[str, int]:
    """Ids by word piece, once the vocabulary is known to be usable.

    Args:
        words: word pieces in the order of their ids.
        required: special tokens that must be among them.
        source: where they came from, for messages.

    Raises:
        TokenizerError: too many, none, a word piece twice, or a required special token missing.
    """
    if not words:
        raise TokenizerError(f"{source} is empty: expected a vocabulary with one word piece a line.")
    if len(words) > MAX_WORDS:
        raise TokenizerError(f"{source} has {len(words):,} word pieces, expected at most {MAX_WORDS:,}.")
    ids: dict[str, int] = {}
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise TokenizerError(f"{source}: word piece {index} is {word!r}, expected text.")
        if word in ids:
            raise TokenizerError(
                f"{source} holds {word!r} twice, in line {ids[word] + 1} and line {index + 1}: every word piece needs "
                f"a row of its own. Remove one, or rename it to an unused name such as [unused{index}]."
            )
        ids[word] = index
    missing = [token for token in required if token not in ids]
    if missing:
        raise TokenizerError(
            f"{source} ({len(words):,} word pieces, the first is {words[0]!r}) lacks {', '.join(missing)}. A BERT "
            f"vocabulary holds them: is this the right file? Tokens of other names are given in tokenizer_config.json."
        )
    return ids


def looks_cased(words: Iterable[str]) -> bool | None:
    """Whether the word pieces tell upper case from lower case; None when they hold no letters that have case.

    One in a hundred is enough: cased vocabularies have 16 to 29 % of pieces with upper case, uncased ones at most
    0.5 % (SciBERT's holds a few Greek capitals, google's Chinese one `<S>` and `<T>`).
    """
    upper = with_case = 0
    for word in words:
        if word.startswith("[") and word.endswith("]"):
            continue
        is_upper = word != word.lower()
        upper += is_upper
        with_case += is_upper or word != word.upper()
    return upper >= 0.01 * with_case if with_case else None
