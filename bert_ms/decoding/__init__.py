"""Logits to answers; numpy only, no MindSpore."""
