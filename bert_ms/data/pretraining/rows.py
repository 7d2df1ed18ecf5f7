"""Examples of a corpus as rows that a network reads: words hidden, or each the next one's prediction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bert_ms.config.section import plain
from bert_ms.data import ragged
from bert_ms.data.loader import PAD_TOKEN_ID
from bert_ms.data.pretraining.corpus import Corpus
from bert_ms.data.pretraining.examples import (
    FIRST,
    FIRST_LENGTH,
    IS_RANDOM,
    SECOND,
    SECOND_LENGTH,
    SPECIAL_TOKENS,
)
from bert_ms.data.pretraining.masking import Masker
from bert_ms.records import (
    ATTENTION_MASK,
    IGNORE_INDEX,
    INPUT_IDS,
    LABELS,
    MASKED_POSITIONS,
    NEXT_SENTENCE_LABEL,
    TOKEN_TYPE_IDS,
    Features,
)
from bert_ms.tokenization import Tokenizer

# Rows that are made at once where many are asked for.
_CHUNK = 1024


@dataclass(frozen=True)
class TextRows:
    """Rows of a corpus, made as they are asked for; a source of rows as `data.loader.RowSource` describes it.

    Attributes:
        corpus: the text.
        examples: int64 [rows, 5], see `examples`.
        tokenizer: of the network.
        pairs: the examples are pairs of segments.
        masker: hides words; None leaves them and asks for the next word at each place.
        digest: sha256 of corpus, examples and masking.
    """

    corpus: Corpus
    examples: np.ndarray
    tokenizer: Tokenizer
    pairs: bool
    masker: Masker | None
    digest: str

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        examples: np.ndarray,
        tokenizer: Tokenizer,
        masker: Masker | None,
        *,
        pairs: bool,
        key: object,
    ) -> TextRows:
        """Rows with their digest, `key` being what the examples follow from (JSON values)."""
        masking = None if masker is None else [plain(masker.config), masker.seed]
        deciding = [corpus.digest, len(examples), key, pairs, masking, tokenizer.fingerprint()]
        content = json.dumps(deciding, sort_keys=True)
        return cls(corpus, examples, tokenizer, pairs, masker, hashlib.sha256(content.encode()).hexdigest())

    def __len__(self) -> int:
        return len(self.examples)

    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        return self.lengths_of(slice(None))

    def lengths_of(self, rows: np.ndarray | slice) -> np.ndarray:
        """Tokens of some rows."""
        chosen = self.examples[rows]
        return chosen[:, FIRST_LENGTH] + chosen[:, SECOND_LENGTH] + SPECIAL_TOKENS[self.pairs]

    def fingerprint(self) -> str:
        """sha256 of all that decides the rows' content."""
        return self.digest

    def pad_token_id(self) -> int:
        """What input_ids are padded with."""
        return self.tokenizer.pad_token_id

    def group(self) -> int:
        """So many rows in a row are one example: 1."""
        return 1

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Features]:
        """For each array of row numbers those rows, in that order, with the masks of epoch 0."""
        return (self.features(rows) for rows in batches)

    def features(self, rows: np.ndarray) -> Features:
        """Rows as features, with the masks of epoch 0."""
        longest = int(self.lengths().max())
        parts = [self._features(rows[at : at + _CHUNK], longest) for at in range(0, max(len(rows), 1), _CHUNK)]
        lengths = np.concatenate([part.lengths() for part in parts])
        names = parts[0].labels
        return Features(
            np.concatenate([part.input_ids for part in parts]),
            np.concatenate([part.token_type_ids for part in parts]),
            ragged.splits(lengths),
            {name: np.concatenate([part.labels[name] for part in parts]) for name in names},
            meta={PAD_TOKEN_ID: self.pad_token_id()},
        )

    def _features(self, rows: np.ndarray, longest: int) -> Features:
        batch = self.batch(rows, longest, epoch=0)
        is_token = batch[ATTENTION_MASK] > 0
        labels = {name: batch[name] for name in (MASKED_POSITIONS, LABELS, NEXT_SENTENCE_LABEL) if name in batch}
        if self.masker is None:
            labels[LABELS] = labels[LABELS][is_token]
        splits = ragged.splits(is_token.sum(1))
        return Features(batch[INPUT_IDS][is_token], batch[TOKEN_TYPE_IDS][is_token], splits, labels)

    def batch(self, rows: np.ndarray, length: int, *, epoch: int) -> dict[str, np.ndarray]:
        """Rows as int32 arrays padded to `length`: the inputs, and what is to be predicted.

        Args:
            rows: int64 [B].
            length: S, at least the longest row's.
            epoch: whose masks to draw.

        Returns:
            input_ids, attention_mask, token_type_ids [B, S]; with a masker masked_positions, labels [B, P], otherwise
            labels [B, S] (the ids, -100 on padding); for pairs next_sentence_label [B], 0 where the second follows.
        """
        examples_B5 = np.asarray(self.examples[rows])
        first_B, second_B = examples_B5[:, FIRST_LENGTH], examples_B5[:, SECOND_LENGTH]
        ids_BS = np.full((len(rows), length), self.tokenizer.pad_token_id, np.int32)
        inside_BS = np.zeros(ids_BS.shape, bool)
        each = np.arange(len(rows))
        ids_BS[:, 0] = self.tokenizer.cls_token_id
        self._place(ids_BS, inside_BS, examples_B5[:, FIRST], first_B, np.ones_like(first_B))
        ids_BS[each, 1 + first_B] = self.tokenizer.sep_token_id
        lengths_B = first_B + 2
        if self.pairs:
            self._place(ids_BS, inside_BS, examples_B5[:, SECOND], second_B, lengths_B)
            ids_BS[each, lengths_B + second_B] = self.tokenizer.sep_token_id
            lengths_B = lengths_B + second_B + 1
        places_1S = np.arange(length)[None]
        mask_BS = (places_1S < lengths_B[:, None]).astype(np.int32)
        types_BS = ((places_1S >= first_B[:, None] + 2) & (mask_BS > 0)).astype(np.int32)
        batch = {INPUT_IDS: ids_BS, ATTENTION_MASK: mask_BS, TOKEN_TYPE_IDS: types_BS}
        if self.masker is None:
            batch[LABELS] = np.where(mask_BS > 0, ids_BS, IGNORE_INDEX).astype(np.int32)
        else:
            masked = self.masker(ids_BS, mask_BS, inside_BS, rows, epoch)
            batch |= {INPUT_IDS: masked.input_ids, MASKED_POSITIONS: masked.positions, LABELS: masked.labels}
        if self.pairs:
            batch[NEXT_SENTENCE_LABEL] = examples_B5[:, IS_RANDOM].astype(np.int32)
        return batch

    def _place(
        self, ids_BS: np.ndarray, inside_BS: np.ndarray, spans_B: np.ndarray, lengths_B: np.ndarray, at_B: np.ndarray
    ) -> None:
        """Write spans of the corpus into rows, from a place on."""
        row_T = np.repeat(np.arange(len(ids_BS)), lengths_B)
        from_T, to_T = ragged.ranges(spans_B, lengths_B), ragged.ranges(at_B, lengths_B)
        ids_BS[row_T, to_T] = self.corpus.ids[from_T]
        inside_BS[row_T, to_T] = self.corpus.inside[from_T]
