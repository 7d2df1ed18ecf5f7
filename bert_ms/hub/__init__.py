"""Pretrained models: names, loading, converting, and MindSpore Hub's cards."""
