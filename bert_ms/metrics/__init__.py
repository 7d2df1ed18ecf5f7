"""Scores of predictions; plain Python and numpy, no MindSpore."""

from bert_ms.metrics import classification, squad

__all__ = ["classification", "squad"]
