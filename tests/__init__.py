"""Tests of bert_ms, in the shape of the package."""
