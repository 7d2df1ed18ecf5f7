"""Tests of the hub room."""
