"""Hiding words: which of a batch, and behind what; all rows at once, each by its own number alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bert_ms.config import PretrainingConfig
from bert_ms.data.pretraining.draws import uniform
from bert_ms.records import IGNORE_INDEX
from bert_ms.tokenization import Tokenizer

# Of the words that are hidden: replaced by [MASK], by any piece, and left as they are. Source: Devlin et al. 2019, 3.1.
AS_MASK, AS_ANY = 0.8, 0.1
_ORDER, _LENGTH, _KIND, _PIECE = range(4)


@dataclass(frozen=True)
class Masked:
    """A batch with words hidden.

    Attributes:
        input_ids: int32 [B, S].
        positions: int32 [B, P], of the hidden pieces in ascending order; 0 where there are fewer.
        labels: int32 [B, P], the pieces that were there; -100 where there are fewer.
    """

    input_ids: np.ndarray
    positions: np.ndarray
    labels: np.ndarray


class Masker:
    """Hides words of token matrices by one configuration.

    Args:
        tokenizer: of the network; its special tokens are neither hidden nor put in a hidden word's place.
        config: what is hidden together, and how much.
        seed: of the run.

    Raises:
        TokenizerError: the vocabulary has no [MASK].
    """

    def __init__(self, tokenizer: Tokenizer, config: PretrainingConfig, *, seed: int):
        self.config, self.seed = config, seed
        self.mask_token_id = tokenizer.mask_token_id
        options = tokenizer.options
        special = {options.pad_token, options.unk_token, options.cls_token, options.sep_token, options.mask_token}
        special |= set(options.additional_special_tokens)
        self._is_special = np.array([word in special for word in tokenizer.vocabulary])
        # [UNK] is hidden as any word is, but the others stand between the words
        self._is_between = self._is_special.copy()
        self._is_between[tokenizer.unk_token_id] = False
        self._pieces = np.flatnonzero(~self._is_special).astype(np.int32)

    def __call__(
        self, input_ids: np.ndarray, attention_mask: np.ndarray, inside: np.ndarray, rows: np.ndarray, epoch: int
    ) -> Masked:
        """Hide words.

        Of a row of n tokens round(n * masked_lm_prob) are hidden, at least one and at most max_predictions_per_seq. A
        hidden piece becomes [MASK] in 80 %, any piece in 10 %, and stays in 10 %, each piece by itself.

        Args:
            input_ids: int32 [B, S].
            attention_mask: int32 [B, S].
            inside: bool [B, S], pieces that belong to the word of the piece before.
            rows: int [B], the rows' numbers: with seed and epoch all that the draws depend on.
            epoch: counted from 0.
        """
        count = input_ids.shape[1]
        lengths_B = attention_mask.sum(1)
        most = self.config.predictions_for(count)
        budget_B = np.clip(np.rint(lengths_B * self.config.masked_lm_prob).astype(np.int64), 1, most)
        is_text_BS = (attention_mask > 0) & ~self._is_between[input_ids]
        is_word_start_BS = is_text_BS if self.config.unit == "token" else is_text_BS & ~inside
        is_hidden_BS = self._choose(is_text_BS, is_word_start_BS, budget_B, rows, epoch)

        kind_BS = uniform(rows, count, self.seed, epoch, _KIND)
        draws_BS = uniform(rows, count, self.seed, epoch, _PIECE)
        any_BS = self._pieces[(draws_BS * len(self._pieces)).astype(np.int64)]
        other_BS = np.where(kind_BS < AS_MASK + AS_ANY, any_BS, input_ids)
        behind_BS = np.where(kind_BS < AS_MASK, self.mask_token_id, other_BS)

        positions_BP = np.argsort(~is_hidden_BS, axis=1, kind="stable")[:, :most]
        is_used_BP = np.take_along_axis(is_hidden_BS, positions_BP, 1)
        labels_BP = np.where(is_used_BP, np.take_along_axis(input_ids, positions_BP, 1), IGNORE_INDEX)
        return Masked(
            np.where(is_hidden_BS, behind_BS, input_ids).astype(np.int32),
            np.where(is_used_BP, positions_BP, 0).astype(np.int32),
            labels_BP.astype(np.int32),
        )

    def _choose(
        self, is_text_BS: np.ndarray, is_start_BS: np.ndarray, budget_B: np.ndarray, rows: np.ndarray, epoch: int
    ) -> np.ndarray:
        """Which pieces are hidden, bool [B, S].

        Words are gone through in a random order. At each one begins an n-gram, n drawn with p(n) ~ 1/n, that goes on
        over the words which touch it, until one is hidden already or would be too much; a first word that is too much
        is passed over. Source: google-research/bert's whole word masking; SpanBERT, ALBERT and NEZHA for n-grams.
        """
        words = _Words(is_text_BS, is_start_BS)
        B, W = words.sizes.shape
        if W == 0:
            return np.zeros_like(is_text_BS)
        longest = self.config.max_ngram if self.config.unit == "ngram" else 1
        keys_BW = np.where(np.arange(W) < words.counts[:, None], uniform(rows, W, self.seed, epoch, _ORDER), 2.0)
        order_BW = np.argsort(keys_BW, axis=1)
        wanted_BW = _ngram_lengths(uniform(rows, W, self.seed, epoch, _LENGTH), longest)
        taken_BW = np.zeros((B, W + longest), bool)
        left_B, each = budget_B.copy(), np.arange(B)
        for turn in range(W):
            if not ((turn < words.counts) & (left_B > 0)).any():
                break
            word_B = order_BW[:, turn]
            goes_on_B = turn < words.counts
            for place in range(longest):
                at_B = word_B + place
                inner_B = np.minimum(at_B, W - 1)
                goes_on_B = goes_on_B & (place < wanted_BW[:, turn]) & (at_B < words.counts) & ~taken_BW[each, at_B]
                goes_on_B &= words.sizes[each, inner_B] <= left_B
                if place:
                    goes_on_B &= words.touches[each, inner_B]
                taken_BW[each, at_B] |= goes_on_B
                left_B = left_B - goes_on_B * words.sizes[each, inner_B]
        return is_text_BS & words.spread(taken_BW[:, :W])


class _Words:
    """The words of each row.

    Args:
        is_text_BS: pieces of words.
        is_start_BS: those that begin a word; the first piece after something else does so in any case.

    Attributes:
        counts: int64 [B], words of each row.
        sizes: int64 [B, W], pieces of each word, 0 where there are fewer.
        touches: bool [B, W], nothing stands between a word and the one before.
    """

    def __init__(self, is_text_BS: np.ndarray, is_start_BS: np.ndarray):
        B = len(is_text_BS)
        follows_BS = np.zeros_like(is_text_BS)
        follows_BS[:, 1:] = is_text_BS[:, :-1]
        is_start_BS = is_text_BS & (is_start_BS | ~follows_BS)
        self._word_BS = np.cumsum(is_start_BS, axis=1) - 1
        self.counts = is_start_BS.sum(1)
        W = int(self.counts.max(initial=0))
        row_T, place_T = np.nonzero(is_text_BS)
        self.sizes = np.bincount(row_T * W + self._word_BS[row_T, place_T], minlength=B * W).reshape(B, W)
        self.touches = np.zeros((B, W), bool)
        row_T, place_T = np.nonzero(is_start_BS)
        self.touches[row_T, self._word_BS[row_T, place_T]] = follows_BS[row_T, place_T]

    def spread(self, of_word_BW: np.ndarray) -> np.ndarray:
        """What is known of each word, for each of its pieces; anything elsewhere."""
        return np.take_along_axis(of_word_BW, np.maximum(self._word_BS, 0), 1)


def _ngram_lengths(draws: np.ndarray, longest: int) -> np.ndarray:
    """Lengths from 1 to `longest` with p(n) ~ 1/n, from numbers in [0, 1)."""
    weights = 1 / np.arange(1, longest + 1)
    return np.searchsorted(np.cumsum(weights)[:-1] / weights.sum(), draws, side="right") + 1
