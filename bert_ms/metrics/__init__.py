"""Scores of predictions; plain Python and numpy, no MindSpore."""

from bert_ms.metrics import classification, entities, squad

__all__ = ["classification", "entities", "squad"]
