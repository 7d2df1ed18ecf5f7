"""Text as one long row of word pieces on disk, with the places where sentences and documents begin."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tokenizers

from bert_ms.config import DataConfig, PretrainingConfig
from bert_ms.data.pretraining import store, text, words
from bert_ms.data.storage import SMALL_FILE_BYTES
from bert_ms.errors import DataError
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

VERSION = 1  # of the code that makes a corpus; changes when the same text gives another one
_COLUMNS = {"ids": np.int32, "inside": np.bool_, "starts": np.int64, "lengths": np.int32, "documents": np.int64}
# Sentences that are tokenised together: enough for all cores, few enough for little memory.
_CHUNK = 16384


@dataclass(frozen=True)
class Corpus:
    """Tokenised text. After each document stands one separator, which belongs to none of its sentences.

    Attributes:
        ids: int32 [T], mapped from disk for all but small texts.
        inside: bool [T], the piece belongs to the word of the piece before it.
        starts: int64 [sentences], where each sentence begins.
        lengths: int32 [sentences], its pieces, at least 1.
        documents: int64 [documents + 1], the first sentence of each; the last number is that of all sentences.
        digest: sha256 of all this.
    """

    ids: np.ndarray
    inside: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    documents: np.ndarray
    digest: str

    @property
    def document_count(self) -> int:
        """Documents that hold at least one sentence."""
        return len(self.documents) - 1


def load(
    path: str | Path,
    tokenizer: Tokenizer,
    data: DataConfig,
    pretraining: PretrainingConfig,
    *,
    segment: words.Segment | None = None,
) -> Corpus:
    """Tokenise text files, or take their corpus from the cache.

    With `storage` "memory", and with "auto" for less than 8 MB of text, nothing is written. Files are read in pieces,
    and what is kept is mapped, so that a text may be larger than memory.

    Args:
        path: a file, a folder, or a pattern; see `text.files_of`.
        tokenizer: of the network; it works on all cores.
        data: where to keep the corpus.
        pretraining: how text is laid out, and what a word is in Chinese.
        segment: cuts a Chinese sentence into words, instead of `pretraining.chinese_words`; nothing is cached then,
            since nobody can tell whether the function is the same as before.

    Raises:
        DataError: files that cannot be used, without a single word, or a cache that cannot be written to.
    """
    files = text.files_of(path)
    chosen = segment or words.segmenter(pretraining.chinese_words)

    def build(writer: store.Writer) -> None:
        _tokenise(text.stream(files, pretraining.text), tokenizer, chosen, writer)
        if not writer.facts["sentences"]:
            raise DataError(f"{path} holds no text: expected sentences or paragraphs, one a line.")

    size = sum(file.stat().st_size for file in files)
    in_memory = data.storage == "memory" or segment is not None or (data.storage == "auto" and size < SMALL_FILE_BYTES)
    key = {} if in_memory else _key(files, tokenizer, pretraining)
    found = store.kept("corpus", key, _COLUMNS, build, directory=data.cache_dir, in_memory=in_memory)
    counts = (len(files), found.facts["documents"], found.facts["sentences"], len(found.arrays["ids"]))
    logger.info("%s: %d files, %d documents, %d sentences, %d word pieces", path, *counts)
    return Corpus(**found.arrays, digest=found.digest)


def _key(files: Sequence[Path], tokenizer: Tokenizer, pretraining: PretrainingConfig) -> dict[str, object]:
    """What a corpus depends on."""
    chinese = pretraining.chinese_words
    return {
        "files": [_digest(file) for file in files],
        "tokenizer": tokenizer.fingerprint(),
        "tokenizers": tokenizers.__version__,
        "version": VERSION,
        "text": pretraining.text,
        "words": chinese if chinese in ("characters", "spaces") else _digest(Path(chinese).expanduser()),
    }


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as opened:
            while block := opened.read(2**20):
                digest.update(block)
        return digest.hexdigest()
    except OSError as error:
        raise DataError(f"{os.fspath(file)} cannot be read: {error.strerror or error}.") from error


def _tokenise(
    stream: Iterator[tuple[str, bool]], tokenizer: Tokenizer, segment: words.Segment | None, writer: store.Writer
) -> None:
    """Append the corpus of a stream of sentences to a writer, chunk by chunk."""
    is_continuation = words.continuations(tokenizer)
    tokens = sentences = documents = 0
    number = last = 0  # of documents: of the last sentence, and of the last one that has word pieces
    while chunk := list(islice(stream, _CHUNK)):
        texts = [sentence for sentence, _ in chunk]
        encoded = tokenizer.encode_ragged(texts, offsets=segment is not None)
        is_inside = words.inside(encoded, is_continuation, texts, segment)
        lengths = np.diff(encoded.row_splits)
        has_words = lengths > 0
        numbers = number + np.cumsum([begins for _, begins in chunk])
        is_first = np.diff(numbers[has_words], prepend=last) != 0
        has_separator = is_first.copy()
        if sentences == 0:
            has_separator[:1] = False
        begins = encoded.row_splits[:-1][has_words]
        places = begins[has_separator]
        writer.append(
            ids=np.insert(encoded.ids, places, tokenizer.sep_token_id),
            inside=np.insert(is_inside, places, False),
            starts=tokens + begins + np.cumsum(has_separator),
            lengths=lengths[has_words],
            documents=sentences + np.flatnonzero(is_first),
        )
        tokens += len(encoded.ids) + len(places)
        sentences += len(begins)
        documents += int(is_first.sum())
        number, last = int(numbers[-1]), int(numbers[has_words][-1]) if len(begins) else last
    writer.append(ids=np.array([tokenizer.sep_token_id]), inside=np.array([False]), documents=np.array([sentences]))
    writer.facts = {"documents": documents, "sentences": sentences}
