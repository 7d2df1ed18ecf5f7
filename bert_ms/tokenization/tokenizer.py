"""The tokenizer: text to word piece ids with their places in the text."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal, overload

from bert_ms.errors import TokenizerError, TooLongError
from bert_ms.files import write_files
from bert_ms.records import Encoding
from bert_ms.tokenization import backend, bulk
from bert_ms.tokenization.bulk import RaggedTokens
from bert_ms.tokenization.joining import Joiner, Text, Truncation, check_arguments
from bert_ms.tokenization.options import SPECIAL_TOKENS, TokenizerOptions
from bert_ms.tokenization.reading import read_directory
from bert_ms.tokenization.vocabulary import check_vocabulary, read_vocabulary

logger = logging.getLogger(__name__)

SPARE_ROWS = 127

_resolve: Callable[[str], Path] | None = None


def set_resolver(resolve: Callable[[str], Path] | None) -> None:
    """Let `Tokenizer.from_pretrained` understand names: the hub hands in its catalogue, which lives above this room."""
    global _resolve
    _resolve = resolve


class Tokenizer:
    """WordPiece as BERT has it: white space and punctuation split words, the vocabulary splits them further.

    Args:
        vocabulary: word pieces in the order of their ids.
        options: casing, accents, special tokens.
        source: where the vocabulary came from, for messages.

    Raises:
        TokenizerError: a vocabulary that cannot be used.

    >>> tokenizer = Tokenizer.from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing"])
    >>> tokenizer.encode("Playing!").input_ids
    [2, 5, 6, 1, 3]
    """

    def __init__(
        self, vocabulary: Sequence[str], options: TokenizerOptions | None = None, *, source: str = "the vocabulary"
    ):
        self.options = options or TokenizerOptions()
        self.vocabulary = tuple(vocabulary)
        required = [getattr(self.options, name) for name in SPECIAL_TOKENS if name != "mask_token"]
        self._ids = check_vocabulary(self.vocabulary, required=required, source=source)
        absent = [w for w in (*self.options.never_split, *self.options.additional_special_tokens) if w not in self._ids]
        if absent:
            raise TokenizerError(
                f"{source} lacks {', '.join(map(repr, absent[:5]))}, to be kept whole (never_split or additional "
                f"special tokens): name them in place of [unused...] pieces, or leave them out of the options."
            )
        self._backend = backend.build(self._ids, self.options)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        vocab: str | os.PathLike[str] | None = None,
        do_lower_case: bool | None = None,
    ) -> Tokenizer:
        """The tokenizer that weights were trained with.

        Args:
            source: a directory, one of its files (a vocabulary, or weights with the vocabulary beside them), or a
                name of the catalogue.
            vocab: a vocabulary file, for weights that come without one.
            do_lower_case: casing, for a source that does not tell; None takes what comes with it.

        Raises:
            TokenizerError: nothing there, or files that cannot be used.
        """
        if not isinstance(source, str | os.PathLike) or not os.fspath(source):
            raise TokenizerError(f"the source is {source!r}: expected a directory with vocab.txt or tokenizer.json.")
        path = Path(source)
        if path.with_name(f"{path.name}.index").is_file():  # the prefix of a TensorFlow checkpoint
            path = path.parent
        if not path.exists():
            if _resolve is None or path.is_absolute():
                raise TokenizerError(f"{source} does not exist: name a directory with vocab.txt or tokenizer.json.")
            path = Path(_resolve(str(source)))
        if path.is_file():
            if vocab is None and path.suffix in (".txt", ".vocab"):
                vocab = path
            path = path.parent
        file = Path(vocab) if vocab is not None else None
        words, options = read_directory(path, vocab=file, do_lower_case=do_lower_case)
        return cls(words, options, source=str(file or path))

    @classmethod
    def from_vocab(
        cls,
        vocabulary: str | os.PathLike[str] | Sequence[str],
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        never_split: Iterable[str] = (),
    ) -> Tokenizer:
        """A tokenizer from a vocabulary file, or from the word pieces themselves."""
        options = TokenizerOptions(
            do_lower_case=do_lower_case,
            strip_accents=strip_accents,
            tokenize_chinese_chars=tokenize_chinese_chars,
            never_split=tuple(never_split),
        )
        if isinstance(vocabulary, (str, os.PathLike)):
            return cls(read_vocabulary(Path(vocabulary)), options, source=str(vocabulary))
        return cls(vocabulary, options)

    @property
    def vocab_size(self) -> int:
        """Number of word pieces, one more than the largest id."""
        return len(self.vocabulary)

    @property
    def pad_token_id(self) -> int:
        """Id of the padding token."""
        return self._ids[self.options.pad_token]

    @property
    def cls_token_id(self) -> int:
        """Id of the token that every input begins with."""
        return self._ids[self.options.cls_token]

    @property
    def sep_token_id(self) -> int:
        """Id of the token that ends each text."""
        return self._ids[self.options.sep_token]

    @property
    def unk_token_id(self) -> int:
        """Id of the token for words that the vocabulary cannot spell."""
        return self._ids[self.options.unk_token]

    @property
    def mask_token_id(self) -> int:
        """Id of the token that stands for a hidden one.

        Raises:
            TokenizerError: the vocabulary has none.
        """
        if self.options.mask_token not in self._ids:
            raise TokenizerError(f"the vocabulary ({self.vocab_size:,} word pieces) has no {self.options.mask_token}.")
        return self._ids[self.options.mask_token]

    def token_to_id(self, token: str) -> int | None:
        """Id of a word piece; None when it is not in the vocabulary."""
        return self._ids.get(token)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Word pieces of ids."""
        return [self.vocabulary[i] for i in ids]

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Readable text of ids: pieces joined, blanks before punctuation removed. What was lower-cased stays so."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens)

    @overload
    def encode(self, text: str, pair: str | None = ..., *, max_length: int | None = ..., truncation: Truncation = ...,
               stride: None = ...) -> Encoding: ...  # fmt: skip

    @overload
    def encode(self, text: str, pair: str | None = ..., *, max_length: int, truncation: Truncation = ...,
               stride: int) -> list[Encoding]: ...  # fmt: skip

    def encode(
        self,
        text: str,
        pair: str | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "error",
        stride: int | None = None,
    ) -> Encoding | list[Encoding]:
        """`[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]`.

        Args:
            text: the first text.
            pair: the second text.
            max_length: longest result in tokens, special tokens included; None does not limit.
            truncation: what becomes of texts that are longer: "error" refuses them, "longest_first" takes tokens from
                the end of whichever text is longer, "only_first" and "only_second" from one of them.
            stride: cut the text into windows that share this many tokens, instead of truncating it. Of a pair the
                second text is cut, or the first with truncation="only_first"; the other stands whole in every window.

        Returns:
            One encoding; with `stride` the list of windows, at least one.

        Raises:
            TooLongError: a text is too long for `max_length`; its `index` says which.
            TokenizerError: no room for windows to move on, or arguments and texts that cannot be used.
        """
        return self.encode_batch([text], None if pair is None else [pair], max_length=max_length, truncation=truncation,
                                 stride=stride)[0]  # fmt: skip

    def encode_batch(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = "error",
        stride: int | None = None,
    ) -> list[Encoding] | list[list[Encoding]]:
        """`encode` for many texts, on all cores."""
        check_arguments(max_length, truncation, stride, is_pair=pairs is not None)
        if pairs is not None and len(pairs) != len(texts):
            raise TokenizerError(f"{len(texts)} texts but {len(pairs)} pairs: expected one pair for each text.")
        firsts = self._texts(texts)
        seconds = self._texts(pairs) if pairs is not None else [None] * len(texts)
        joiner = Joiner(self.cls_token_id, self.sep_token_id)
        both = zip(firsts, seconds, strict=True)
        if stride is None or max_length is None:
            fitted: list[Encoding] = []
            for index, (a, b) in enumerate(both):
                try:
                    fitted.append(joiner.fit(a, b, max_length, truncation))
                except TooLongError as error:
                    raise error.told(index=index if len(firsts) > 1 else None) from None
            return fitted
        return [joiner.windows(a, b, max_length, truncation, stride) for a, b in both]

    def encode_ragged(self, texts: Sequence[str], *, offsets: bool = True, parallel: bool = True) -> RaggedTokens:
        """Ids and places of many texts without special tokens, as flat arrays: the fast way for whole data sets.

        Args:
            texts: the texts.
            offsets: also give each token's place.
            parallel: on all cores; the result is the same either way.
        """
        return bulk.encode(self._backend, texts, offsets=offsets, parallel=parallel)

    def pad(self, encoding: Encoding, length: int, *, side: Literal["right", "left"] = "right") -> Encoding:
        """`encoding` filled with padding to `length` tokens; a longer one comes back as it is."""
        count = max(length - len(encoding), 0)
        columns = (
            (encoding.input_ids, self.pad_token_id),
            (encoding.attention_mask, 0),
            (encoding.token_type_ids, 0),
            (encoding.offsets, (0, 0)),
            (encoding.sequence_ids, None),
        )
        return Encoding(*([v] * count + c if side == "left" else c + [v] * count for c, v in columns))  # type: ignore

    def check_against(self, vocab_rows: int) -> None:
        """Make sure that this vocabulary belongs to an embedding table.

        A table may have up to 127 rows more than the vocabulary has pieces, since tables are padded to a multiple of 8
        to 128 for speed; such rows are never used. Any other difference means that the vocabulary is another model's.

        Args:
            vocab_rows: rows of the word embedding table.

        Raises:
            TokenizerError: the vocabulary is larger than the table, or smaller by more than 127.
        """
        spare = vocab_rows - self.vocab_size
        if spare < 0 or spare > SPARE_ROWS:
            raise TokenizerError(
                f"the vocabulary has {self.vocab_size:,} word pieces but the embedding table {vocab_rows:,} rows: they "
                f"belong to different models. Give the vocab.txt that these weights were trained with."
            )
        if spare:
            logger.info("the embedding table has %d rows more than the vocabulary: taken as padding.", spare)

    def fingerprint(self) -> str:
        """sha256 of everything that decides the ids: the same fingerprint means the same ids for every text."""
        deciding = asdict(replace(self.options, model_max_length=None))
        content = json.dumps([self.vocabulary, deciding], ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write `vocab.txt`, `tokenizer_config.json` and `tokenizer.json`, as Hugging Face reads them.

        All three are complete before the first takes its name.

        Raises:
            TokenizerError: the directory cannot be written to, or a word piece cannot stand on a line.
        """
        broken = [w for w in self.vocabulary if "\n" in w or w.endswith("\r")]
        if broken or not self.vocabulary[-1]:
            raise TokenizerError(f"word piece {(broken or [''])[0]!r} cannot be written as a line of vocab.txt.")
        config = json.dumps(self.options.to_hugging_face(), indent=2, ensure_ascii=False) + "\n"
        contents = {
            "vocab.txt": "\n".join(self.vocabulary) + "\n",
            "tokenizer.json": self._backend.to_str(pretty=False),
            "tokenizer_config.json": config,
        }
        write_files(directory, contents, error=TokenizerError)

    def _texts(self, texts: Sequence[str]) -> list[Text]:
        return [Text(e.ids, e.offsets) for e in backend.run(self._backend, texts)]

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[tuple[str, ...], TokenizerOptions]]:
        return Tokenizer, (self.vocabulary, self.options)
