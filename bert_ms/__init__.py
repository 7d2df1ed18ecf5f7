"""BERT and NEZHA on MindSpore: training, checkpoints of every origin, and an HTTP server."""

__version__ = "0.1.0"
