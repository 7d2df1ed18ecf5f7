"""Scores of predictions; plain Python and numpy, no MindSpore."""

from bert_ms.metrics import squad

__all__ = ["squad"]
