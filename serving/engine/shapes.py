"""Which batches are compiled before the first answer; no other ever runs."""

from __future__ import annotations

from bert_ms.errors import ConfigError

Shape = tuple[int, int]

LENGTHS = (32, 64, 128, 256, 384, 512)
# Budgets of a batch in tokens, padding among them.
CPU_TOKENS, ACCELERATOR_TOKENS = 4096, 16_384
_ROWS = (1, 2, 4, 8, 16, 32)
# On a CPU each shape takes a second or two to compile, and rows of 256 tokens gain next to nothing from company.
_CPU_ROWS = {32: (1, 8, 32), 64: (1, 16), 128: (1, 8)}


def choose(longest: int, *, device: str, max_batch_tokens: int | None = None) -> list[Shape]:
    """The (rows, tokens) to compile, the cheapest first.

    On a CPU one row alone for each length, with batches of up to about 1,024 tokens for the short ones; elsewhere every
    power of two of rows within the budget.

    Args:
        longest: tokens of the longest row.
        device: cpu, gpu or ascend.
        max_batch_tokens: the budget; None takes the device's.

    >>> choose(100, device="cpu")
    [(1, 32), (1, 64), (1, 100), (8, 32), (8, 100), (32, 32), (16, 64)]
    """
    budget = max_batch_tokens or (CPU_TOKENS if device == "cpu" else ACCELERATOR_TOKENS)
    shapes: set[Shape] = set()
    for length in lengths(longest):
        rows: tuple[int, ...] = _ROWS
        if device == "cpu":
            rows = next((some for usual, some in _CPU_ROWS.items() if length <= usual), (1,))
        shapes.update((count, length) for count in rows if count == 1 or count * length <= budget)
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape[1]))


def lengths(longest: int) -> list[int]:
    """Lengths that rows are padded to: the usual ones, the last of which is `longest`."""
    return [*(length for length in LENGTHS if length < longest), longest]


def check(shapes: list[Shape], *, longest: int, max_batch_tokens: int | None = None) -> list[Shape]:
    """Shapes that were asked for, if every row finds one that runs it alone.

    Raises:
        ConfigError: a shape is longer than the network takes or beyond the budget, or a length has no shape of one row.
    """
    problems = [f"shape {shape}: the network takes {longest} tokens." for shape in shapes if shape[1] > longest]
    if max_batch_tokens is not None:
        over = [shape for shape in shapes if shape[0] * shape[1] > max_batch_tokens]
        problems += [f"shape {shape} has more than max_batch_tokens {max_batch_tokens}." for shape in over]
    alone = {length for rows, length in shapes if rows == 1}
    missing = sorted({length for _, length in shapes} - alone)
    problems += [f"shape (1, {length}) is missing: rows of a batch that fails are tried alone." for length in missing]
    if problems:
        raise ConfigError(problems)
    return sorted(set(shapes), key=lambda shape: (shape[0] * shape[1], shape[1]))
