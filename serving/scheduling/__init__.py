"""Which rows run next, in which batch, and what becomes of them when the engine fails."""
