"""A vocabulary from text files, for a network from scratch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bert_ms.data.pretraining import text
from bert_ms.tokenization import Tokenizer
from bert_ms.tokenization.learning import learn


def learn_vocabulary(
    path: str | os.PathLike[str], directory: str | os.PathLike[str], *, size: int, do_lower_case: bool = True
) -> Tokenizer:
    """Learn word pieces and write them, with what else a tokenizer is made of, as `model.vocab` takes them.

    Args:
        path: a text file, a folder of them, or a pattern.
        directory: gets vocab.txt, tokenizer.json and tokenizer_config.json.
        size: word pieces.
        do_lower_case: whether it is to be uncased.

    Raises:
        DataError: files that cannot be used.
        TokenizerError: no words, a size that is too small, or a directory that cannot be written to.
    """
    lines = _Lines(text.files_of(Path(path).expanduser()))
    tokenizer = learn(lines, size=size, do_lower_case=do_lower_case)
    tokenizer.save(Path(directory).expanduser())
    return tokenizer


class _Lines:
    """The lines of files, as often as they are asked for."""

    def __init__(self, files: Sequence[Path]):
        self.files = files

    def __iter__(self) -> Iterator[str]:
        return (sentence for sentence, _ in text.stream(self.files, "sentences"))
