"""Texts as vectors: encoding, comparing, searching."""

from bert_ms.pipelines.sentences.encoder import SentenceEncoder, WordVectors
from bert_ms.pipelines.sentences.search import Match, search, similarity

__all__ = ["Match", "SentenceEncoder", "WordVectors", "search", "similarity"]
