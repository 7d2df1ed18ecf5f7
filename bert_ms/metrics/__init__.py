"""Scores of predictions; plain Python and numpy, no MindSpore."""
