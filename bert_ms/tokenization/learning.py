"""Learning a WordPiece vocabulary from text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import accumulate

import tokenizers
from tokenizers import trainers

from bert_ms.errors import TokenizerError
from bert_ms.tokenization import backend
from bert_ms.tokenization.options import TokenizerOptions
from bert_ms.tokenization.tokenizer import Tokenizer

# Characters that get a piece of their own, most frequent first: enough for Chinese, without every stray symbol ...
_MOST_CHARACTERS = 8000
# ... and part of the pieces that is kept for what they are joined to.
_FOR_JOINED = 0.1
# Padding has id 0. Source: the order of google-research/bert's vocabularies.
_SPECIAL = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def learn(texts: Iterable[str], *, size: int, do_lower_case: bool = True, min_frequency: int = 2) -> Tokenizer:
    """A tokenizer whose vocabulary is made of the pieces that tell a text apart best; the same text gives the same.

    Args:
        texts: sentences, lines, paragraphs; they are gone through twice, so a generator will not do.
        size: word pieces, special tokens and characters included; fewer where the text has not so many.
        do_lower_case: whether it is to be uncased.
        min_frequency: pieces that occur less often are left out.

    Raises:
        TokenizerError: the texts are empty, or `size` leaves no room for words.

    Source: Wu et al. 2016, section 4.1, as the `tokenizers` library does it: pairs of pieces are joined by frequency.
    """
    special = [getattr(TokenizerOptions, name) for name in _SPECIAL]
    if size < 2 * len(special):
        raise TokenizerError(f"size is {size}: expected at least {2 * len(special)}, usually 8,000 to 32,000.")
    options = TokenizerOptions(do_lower_case=do_lower_case)
    learner = backend.build({token: number for number, token in enumerate(special)}, options)
    alphabet = _alphabet(learner, texts, room=size - len(special))
    if not alphabet:
        raise TokenizerError("the texts hold no words: there is nothing to learn a vocabulary from.")
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        # Left to itself the library numbers characters anew each time, and the numbers decide between equals.
        special_tokens=[*special, *alphabet],
        limit_alphabet=1,
        continuing_subword_prefix="##",
        show_progress=False,
    )
    learner.train_from_iterator(iter(texts), trainer)
    ids = learner.get_vocab()
    return Tokenizer(sorted(ids, key=ids.__getitem__), options, source="the vocabulary learned")


def _alphabet(learner: tokenizers.Tokenizer, texts: Iterable[str], *, room: int) -> list[str]:
    """The most frequent characters by their code points, then those of them that stand inside words, with `##`.

    A character that always is a word by itself, as Chinese ones are, needs one piece, any other two; `room` is for all
    pieces. The library skips a character inside a word that has no piece of its own as well.
    """
    counts: Counter[str] = Counter()
    insides: set[str] = set()
    for text in texts:
        for word, _ in learner.pre_tokenizer.pre_tokenize_str(learner.normalizer.normalize_str(text)):
            counts.update(word)
            insides.update(word[1:])
    ranked = sorted(counts, key=lambda character: (-counts[character], character))[:_MOST_CHARACTERS]
    needed = accumulate(2 if character in insides else 1 for character in ranked)
    top = sorted(c for c, pieces in zip(ranked, needed, strict=True) if pieces <= room - int(room * _FOR_JOINED))
    return top + ["##" + character for character in top if character in insides]
