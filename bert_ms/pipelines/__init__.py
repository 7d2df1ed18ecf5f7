"""Whole runs: text and files in; networks, answers and scores out."""
