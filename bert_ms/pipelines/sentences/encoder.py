"""Texts to vectors: one a text, or one a word."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from bert_ms.errors import ConfigError, DataError, TooLongError
from bert_ms.pipelines.backends import Backend
from bert_ms.pipelines.sentences.networks import open_network
from bert_ms.pipelines.sentences.search import normalised, search, similarity
from bert_ms.pipelines.sentences.settings import SentenceSettings, read_settings
from bert_ms.pipelines.text.base import LONG_INPUTS, TOO_LONG, LongInputs, Truncation
from bert_ms.pipelines.text.rows import features_of, run_rows
from bert_ms.records import Encoding
from bert_ms.tokenization import Tokenizer

logger = logging.getLogger(__name__)

Words = Literal["avg", "sum", "first", "last", "pieces"]
WORDS = ("avg", "sum", "first", "last", "pieces")
# Shorter steps than a pipeline's: sentences are short, and many.
BUCKETS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_STRIDE_PART = 4


class WordVectors(NamedTuple):
    """The words of a text, their places (start, end) in it, and their vectors float32 [words, H]."""

    words: list[str]
    offsets: list[tuple[int, int]]
    vectors: np.ndarray


class SentenceEncoder:
    """Texts to vectors.

    What is not given is taken from the source where it says so (`modules.json` and its neighbours, as
    sentence-transformers writes them), else the mean of the last layer, normalised.

    Args:
        source: a directory, a file, a catalogue name, or an exported encoder's folder.
        pooling: mean, cls, max, or pooled.
        layers: whose mean is pooled: -1 is the last; (-1, -2, -3, -4) mixes the last four.
        normalize: give vectors of length 1.
        max_length: longest text in tokens.
        long_inputs: what becomes of longer ones: "truncate" cuts their end off (a warning says how many), "windows"
            gives the mean of the vectors of overlapping windows, "error" refuses them.
        batch_size: most texts of a batch.
        prompt: text that every text begins with; None takes the source's default, if it has one.
        device: auto, cpu, gpu or ascend; the process is set to graph mode on it.
        dtype: numbers to compute in: float32 (None), float16 or bfloat16; or "int8", for encoders with absolute
            positions on a CPU and their last layer: weights are rounded as they are loaded.
        config: the configuration, for weights that come without one.
        vocab: a vocabulary file, for weights that come without one.
        do_lower_case: casing, for a vocabulary that does not say.
        backend: auto, cell, onnx or mindir: what runs the encoder; auto takes whichever the source is for.
        threads: CPU threads of one operator; None leaves the choice to what runs the encoder.

    Raises:
        ConfigError: an argument that cannot be used, alone or with this encoder.
        CheckpointError: weights that cannot be read, or a source that asks for more than pooling.
        DeviceError: the device is not there, or cannot compute in the dtype.

    Example:
        encoder = bert_ms.SentenceEncoder("minilm")
        vectors = encoder.encode(["a sentence", "another one"])       # float32 [2, 384]
        encoder.similarity(vectors, vectors)                          # float32 [2, 2]
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        pooling: str | None = None,
        layers: Sequence[int] = (-1,),
        normalize: bool | None = None,
        max_length: int | None = None,
        long_inputs: LongInputs = "truncate",
        batch_size: int = 32,
        prompt: str | None = None,
        device: str = "auto",
        dtype: str | None = None,
        config: Any = None,
        vocab: str | os.PathLike[str] | None = None,
        do_lower_case: bool | None = None,
        backend: str = "auto",
        threads: int | None = None,
    ):
        from bert_ms.hub import catalogue

        path = catalogue.resolve(source)
        settings = read_settings(path) if path.is_dir() else SentenceSettings()
        self.layers = tuple(layers)
        network = open_network(
            path,
            source,
            layers=self.layers,
            backend=backend,
            device=device,
            dtype=dtype,
            threads=threads,
            config=config,
        )
        self.config = network.config
        self.tokenizer = Tokenizer.from_pretrained(path, vocab=vocab, do_lower_case=do_lower_case)
        self.tokenizer.check_against(self.config.vocab_size)
        self.pooling = pooling or settings.pooling
        self.normalize = settings.normalize if normalize is None else normalize
        self.longest = network.longest
        self.max_length = _length(max_length, settings.max_length, self.longest)
        if batch_size < 1 or long_inputs not in LONG_INPUTS:
            raise ConfigError(
                f"batch_size is {batch_size}, long_inputs {long_inputs!r}: expected at least 1, and one of "
                f"{', '.join(LONG_INPUTS)}."
            )
        self.batch_size, self.long_inputs = batch_size, long_inputs
        self.prompt = prompt if prompt is not None else settings.prompts.get(settings.default_prompt or "", "")
        self._network = network
        self._sentences: Backend = network.sentences(self.pooling, self.layers, self.normalize)
        self._tokens: Backend | None = None

    @property
    def width(self) -> int:
        """Numbers H of a vector."""
        return int(self.config.hidden_size)

    def encode(self, texts: str | Sequence[str]) -> np.ndarray:
        """Vectors of one text, float32 [H], or of many, float32 [N, H]."""
        if isinstance(texts, str):
            return self.bulk_encode([texts])[0]
        return self.bulk_encode(texts)

    def bulk_encode(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of many texts of mixed length, float32 [N, H]: sorted into batches here, given back in their order.

        Raises:
            DataError: an item is no text; its place is said.
            TooLongError: a text is too long, with long_inputs="error"; its `index` says which.
        """
        texts = _checked(texts)
        if not texts:
            return np.zeros((0, self.width), np.float32)
        rows, owner = self._rows([self.prompt + text for text in texts])
        vectors = self._run(self._sentences, rows)["vectors"]
        if len(rows) == len(texts):
            return vectors
        sums = np.zeros((len(texts), vectors.shape[1]), np.float32)
        np.add.at(sums, owner, vectors)
        means = sums / np.bincount(owner).astype(np.float32)[:, None]
        return normalised(means) if self.normalize else means

    def stream(self, texts: Iterable[str], *, chunk: int = 4096) -> Iterator[np.ndarray]:
        """Vectors of texts that need not fit into memory, float32 [up to `chunk`, H] at a time, in order."""
        held: list[str] = []
        for text in texts:
            held.append(text)
            if len(held) == chunk:
                yield self.bulk_encode(held)
                held = []
        if held:
            yield self.bulk_encode(held)

    def encode_words(self, texts: Sequence[str], *, words: Words = "avg") -> list[WordVectors]:
        """Vectors of the words of texts, with their places.

        Args:
            texts: the texts; each has to fit into max_length, or is cut with long_inputs="truncate".
            words: how the pieces of a word make its vector: their mean ("avg"), their "sum", the "first" or the "last";
                "pieces" gives every piece for itself.
        """
        if words not in WORDS:
            raise ConfigError(f"words is {words!r}: expected one of {', '.join(WORDS)}.")
        texts = _checked(texts)
        rows = [row for (row,) in self._encode(texts, windows=False)]
        values = self._run(self._token_backend(), rows)["vectors"] if rows else np.zeros((0, self.width), np.float32)
        ends = np.cumsum([len(row) for row in rows])
        return [
            self._words(text, row, values[end - len(row) + 1 : end - 1], words)
            for text, row, end in zip(texts, rows, ends, strict=True)
        ]

    @staticmethod
    def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Cosines of every vector with every other; see `search.similarity`."""
        return similarity(first, second)

    def search(self, queries: str | Sequence[str], matrix: np.ndarray, *, top_k: int = 10) -> Any:
        """The rows of a matrix of vectors that are nearest to texts; see `search.search`.

        Returns:
            For one text a list of (row, score), best first; for several a list of such lists.
        """
        found = search(np.atleast_2d(self.encode(queries)), matrix, top_k=top_k)
        return found[0] if isinstance(queries, str) else found

    def _token_backend(self) -> Backend:
        if self._tokens is None:
            self._tokens = self._network.tokens(self.layers)
        return self._tokens

    def _rows(self, texts: Sequence[str]) -> tuple[list[Encoding], np.ndarray]:
        encoded = self._encode(texts, windows=self.long_inputs == "windows")
        owner = np.repeat(np.arange(len(encoded)), [len(rows) for rows in encoded])
        return [row for rows in encoded for row in rows], owner

    def _encode(self, texts: Sequence[str], *, windows: bool) -> list[list[Encoding]]:
        length = self.max_length
        found: Any
        if windows:
            found = self.tokenizer.encode_batch(texts, max_length=length, stride=length // _STRIDE_PART)
            return list(found)
        cut: Truncation = "longest_first" if self.long_inputs == "truncate" else "error"
        try:
            found = self.tokenizer.encode_batch(texts, max_length=length, truncation=cut)
        except TooLongError as error:
            raise error.told(TOO_LONG) from None
        if cut != "error":
            _warn_of_cut(texts, found, length)
        return [[row] for row in found]

    def _run(self, backend: Backend, rows: Sequence[Encoding]) -> dict[str, np.ndarray]:
        features = features_of(rows, pad_token_id=self.tokenizer.pad_token_id)
        return run_rows(backend, features, batch_size=self.batch_size, longest=self.longest, buckets=BUCKETS)

    def _words(self, text: str, row: Encoding, vectors: np.ndarray, how: Words) -> WordVectors:
        pieces = [self.tokenizer.vocabulary[token] for token in row.input_ids[1:-1]]
        begins = [i for i, piece in enumerate(pieces) if how == "pieces" or not piece.startswith("##") or i == 0]
        ends = [*begins[1:], len(pieces)] if begins else []
        offsets = [(row.offsets[a + 1][0], row.offsets[b][1]) for a, b in zip(begins, ends, strict=True)]
        made = [_joined(vectors[a:b], how) for a, b in zip(begins, ends, strict=True)]
        stacked = np.stack(made) if made else np.zeros((0, self.width), np.float32)
        return WordVectors([text[start:end] for start, end in offsets], offsets, stacked)


def _joined(vectors: np.ndarray, how: Words) -> np.ndarray:
    if how == "sum":
        return vectors.sum(0)
    if how in ("first", "pieces"):
        return vectors[0]
    return vectors[-1] if how == "last" else vectors.mean(0)


def _length(asked: int | None, said: int | None, longest: int | None) -> int:
    if asked is not None and not 3 <= asked <= (longest or asked):
        raise ConfigError(f"max_length is {asked}: expected 3 to {longest or 'any number of'} tokens.")
    return asked or min(said or longest or 512, longest or 1 << 30)


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise DataError("texts is one text: expected a list of them, or use encode(text).")
    if not isinstance(texts, Iterable):
        raise DataError(f"texts is {type(texts).__name__} {str(texts)[:40]!r}: expected a text, or a list of them.")
    texts = list(texts)
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"text {index} is {type(text).__name__} {str(text)[:40]!r}: expected a text.")
    return texts


def _warn_of_cut(texts: Sequence[str], rows: Sequence[Encoding], length: int) -> None:
    full = [(text, row) for text, row in zip(texts, rows, strict=True) if len(row) == length]
    cut = sum(text[row.offsets[-2][1] :].strip() != "" for text, row in full)
    if cut:
        logger.warning(
            "%d of %d texts are longer than %d tokens and were cut (long_inputs=windows reads all of them)",
            cut, len(texts), length,
        )  # fmt: skip
