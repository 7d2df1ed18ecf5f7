"""Text to word piece ids, with the place of each in the text."""

from bert_ms.tokenization.bulk import RaggedTokens
from bert_ms.tokenization.options import TokenizerOptions
from bert_ms.tokenization.tokenizer import Tokenizer, set_resolver

__all__ = ["RaggedTokens", "Tokenizer", "TokenizerOptions", "set_resolver"]
