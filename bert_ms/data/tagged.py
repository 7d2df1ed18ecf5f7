"""Sentences with tags, as readers find them in files, turned into examples in BIO form."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_ms.errors import DataError
from bert_ms.records import TokenExample
from bert_ms.tags import schemes

logger = logging.getLogger(__name__)

# Code points of a word, in the mean, up to which words are characters of a text that is written without blanks.
_CHARACTERS = 1.1


@dataclass(frozen=True)
class Sentence:
    """A sentence as its file has it.

    Attributes:
        words: as given.
        tags: in the file's scheme; None where it has none.
        lines: where each word stands in the file, or once where the whole sentence does, from 1.
        id: its own; None numbers it.
    """

    words: Sequence[str]
    tags: Sequence[str] | None
    lines: Sequence[int]
    id: str | None = None


@dataclass(frozen=True)
class TaggedData:
    """The sentences of a file.

    Attributes:
        examples: in the order of the file.
        scheme: that its tags are written in; None where it has none.
        joiner: what stands between two words in the text: a blank, or nothing between characters.
    """

    examples: list[TokenExample]
    scheme: str | None
    joiner: str

    def types(self) -> list[str]:
        """Types of the entities that are tagged, sorted."""
        tags = {tag for example in self.examples for tag in set(example.tags or ())}
        return sorted({schemes.split(tag)[1] for tag in tags if tag != schemes.OUTSIDE})


def assemble(path: Path, sentences: Iterable[Sentence], *, tagging: str, limit: int | None = None) -> TaggedData:
    """Examples of sentences, their tags in BIO form.

    Args:
        path: of the file, for messages.
        sentences: of the file.
        tagging: a scheme, which the tags must then keep to; "auto" finds out which one they are written in, and reads
            sequences that make no sense as seqeval does.
        limit: take only the first so many.

    Raises:
        DataError: no sentences; tags that are none; tags that break the rules of the scheme that was named.
    """
    taken: list[Sentence] = []
    for sentence in sentences:
        if limit is not None and len(taken) >= limit:
            break
        taken.append(sentence)
    if not taken:
        raise DataError(f"{path} holds no sentences.")
    scheme: str | None = None
    tags: list[tuple[str, ...] | None] = [None] * len(taken)
    if taken[0].tags is not None:
        _check_tags(path, taken)
        scheme = schemes.detect(s.tags for s in taken if s.tags is not None) if tagging == "auto" else tagging
        is_bio = _check_scheme(path, taken, scheme, is_strict=tagging != "auto") and scheme == "bio"
        tags = [tuple(s.tags or ()) if is_bio else schemes.to_bio(s.tags or ()) for s in taken]
    examples = [
        TokenExample(str(number) if sentence.id is None else sentence.id, tuple(sentence.words), its_tags)
        for number, (sentence, its_tags) in enumerate(zip(taken, tags, strict=True))
    ]
    return TaggedData(examples, scheme, _joiner(taken))


def _check_tags(path: Path, sentences: Sequence[Sentence]) -> None:
    good: set[str] = set()
    for sentence in sentences:
        for place, tag in enumerate(sentence.tags or ()):
            if tag in good:
                continue
            if not schemes.is_tag(tag):
                raise DataError(
                    f"{path}, line {_line(sentence, place)}: {tag[:60]!r} is no tag of {sentence.words[place][:60]!r}: "
                    f"expected O, or B-, I- (E-, S-, M-) with a type, such as B-PER. Say with data.label_column which "
                    f"column holds the tags."
                )
            good.add(tag)


def _check_scheme(path: Path, sentences: Sequence[Sentence], scheme: str, *, is_strict: bool) -> bool:
    """Whether all sentences keep to the rules."""
    broken = 0
    for sentence in sentences:
        place = schemes.impossible(sentence.tags or (), scheme)
        if place is None:
            continue
        broken += 1
        if is_strict:
            before = sentence.tags[place - 1] if sentence.tags and place else "the sentence's beginning"
            raise DataError(
                f"{path}, line {_line(sentence, place)}: tag {sentence.tags[place] if sentence.tags else ''} after "
                f"{before} cannot be in tagging '{scheme}'. Correct the file, or leave data.tagging=auto, which takes "
                f"it as seqeval does."
            )
    if broken:
        told = "%s: %d sentences have tags that '%s' does not allow: read as seqeval does"
        logger.warning(told, path, broken, scheme)
    return not broken


def _line(sentence: Sentence, place: int) -> int:
    return sentence.lines[place if len(sentence.lines) > 1 else 0]


def _joiner(sentences: Sequence[Sentence]) -> str:
    words = sum(len(sentence.words) for sentence in sentences)
    return "" if sum(sum(map(len, sentence.words)) for sentence in sentences) <= _CHARACTERS * words else " "
