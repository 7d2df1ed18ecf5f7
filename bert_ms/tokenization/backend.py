"""The `tokenizers` library set up as BERT's tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from bert_ms.errors import TokenizerError
from bert_ms.tokenization.options import SPECIAL_TOKENS, TokenizerOptions


def build(ids: dict[str, int], options: TokenizerOptions) -> tokenizers.Tokenizer:
    """A tokenizer of the library from word piece ids."""
    longest = options.max_input_chars_per_word
    model = models.WordPiece(ids, unk_token=options.unk_token, max_input_chars_per_word=longest)
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=options.clean_text,
        handle_chinese_chars=options.tokenize_chinese_chars,
        strip_accents=options.strip_accents,
        lowercase=options.do_lower_case,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    cls, sep = (options.cls_token, ids[options.cls_token]), (options.sep_token, ids[options.sep_token])
    backend.post_processor = processors.TemplateProcessing(
        single=f"{cls[0]}:0 $A:0 {sep[0]}:0",
        pair=f"{cls[0]}:0 $A:0 {sep[0]}:0 $B:1 {sep[0]}:1",
        special_tokens=[cls, sep],
    )
    special = [getattr(options, name) for name in SPECIAL_TOKENS] + list(options.additional_special_tokens)
    backend.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special if t in ids])
    backend.add_tokens([AddedToken(t, single_word=True, normalized=False) for t in options.never_split])
    return backend


def run(
    backend: tokenizers.Tokenizer, texts: Sequence[str], *, offsets: bool = True, parallel: bool = True
) -> list[tokenizers.Encoding]:
    """Tokenise texts without special tokens.

    Args:
        backend: of `build`.
        texts: the texts.
        offsets: False leaves out each token's place, which is faster.
        parallel: on all cores; the result is the same either way.

    Raises:
        TokenizerError: a text that is no str, or no valid Unicode.
    """
    if isinstance(texts, str):
        raise TokenizerError(f"texts is one str, {texts[:40]!r}: expected a list of them.")
    try:
        if not parallel or len(texts) == 1:
            return [backend.encode(text, add_special_tokens=False) for text in texts]
        encode = backend.encode_batch if offsets else backend.encode_batch_fast
        return encode(list(texts), add_special_tokens=False)
    except TypeError:
        for index, text in enumerate(texts):
            _check_text(text, index if len(texts) > 1 else None)
        raise


def _check_text(text: object, index: int | None) -> None:
    which = "the text" if index is None else f"text {index}"
    if not isinstance(text, str):
        raise TokenizerError(f"{which} is {type(text).__name__}, expected str.")
    for place, character in enumerate(text):
        if "\ud800" <= character <= "\udfff":
            raise TokenizerError(
                f"{which} is no valid Unicode: half a surrogate pair, U+{ord(character):04X}, at character {place}. "
                f"Decode its source as UTF-8 or UTF-16, or replace the character."
            )
