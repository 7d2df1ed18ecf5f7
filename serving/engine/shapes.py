"""Which batches are compiled, or at least seen, before the first answer."""

from __future__ import annotations

from bert_ms.errors import ConfigError

Shape = tuple[int, int]

LENGTHS = (32, 64, 128, 256, 384, 512)
# Budgets of a batch in tokens, padding among them.
CPU_TOKENS, ACCELERATOR_TOKENS = 4096, 16_384
_ROWS = (1, 2, 4, 8, 16, 32)
# On a CPU each shape takes its time to compile, and rows gain little from company beyond about 512 tokens of it. So few
# shapes, the most useful first: chosen one after the other, each so that rows of 8 to 512 tokens, of 1 to 128 clients
# who ask again when they are answered, are served soonest on the average.
_CPU_SHAPES: tuple[Shape, ...] = (
    (1, 32), (16, 8), (1, 128), (16, 32), (4, 32), (1, 384), (1, 512), (1, 256), (4, 128), (4, 8), (1, 64), (1, 8),
    (1, 192), (4, 64), (2, 192), (32, 8), (4, 96), (1, 96), (2, 256),
)  # fmt: skip
# So many of them, where each is compiled and where they only have to be seen once.
MOST_COMPILED, MOST_SEEN = 8, 16


def choose(
    longest: int, *, device: str, max_batch_tokens: int | None = None, most: int = MOST_COMPILED
) -> list[Shape]:
    """The (rows, tokens) to compile or to see, the cheapest first.

    On a CPU few of them, of batches of up to about 512 tokens; elsewhere every power of two of rows within the budget,
    for each of the usual lengths.

    Args:
        longest: tokens of the longest row, which has a shape of its own.
        device: cpu, gpu or ascend.
        max_batch_tokens: the budget; None takes the device's.
        most: shapes on a CPU.

    >>> choose(100, device="cpu")
    [(4, 8), (1, 32), (1, 64), (1, 100), (16, 8), (4, 32), (4, 100), (16, 32)]
    """
    budget = max_batch_tokens or (CPU_TOKENS if device == "cpu" else ACCELERATOR_TOKENS)
    if device == "cpu":
        last = min((length for _, length in _CPU_SHAPES if length >= longest), default=longest)
        wanted = [(1, longest), *((rows, min(length, longest)) for rows, length in _CPU_SHAPES if length <= last)]
    else:
        wanted = [(rows, length) for length in lengths(longest) for rows in _ROWS]
    fitting = dict.fromkeys(shape for shape in wanted if shape[0] == 1 or shape[0] * shape[1] <= budget)
    return _cheapest_first(list(fitting)[: most if device == "cpu" else None])


def lengths(longest: int) -> list[int]:
    """Lengths that rows are padded to: the usual ones, the last of which is `longest`."""
    return [*(length for length in LENGTHS if length < longest), longest]


def check(shapes: list[Shape], *, longest: int, max_batch_tokens: int | None = None) -> list[Shape]:
    """Shapes that were asked for, if every row finds one that runs it alone.

    Raises:
        ConfigError: a shape is longer than the network takes or beyond the budget, or none of the longest has one row.
    """
    problems = [f"shape {shape}: the network takes {longest} tokens." for shape in shapes if shape[1] > longest]
    if max_batch_tokens is not None:
        over = [shape for shape in shapes if shape[0] * shape[1] > max_batch_tokens]
        problems += [f"shape {shape} has more than max_batch_tokens {max_batch_tokens}." for shape in over]
    alone = (1, max(length for _, length in shapes))
    if alone not in shapes:
        problems.append(f"shape {alone} is missing: rows of a batch that fails are tried alone.")
    if problems:
        raise ConfigError(problems)
    return _cheapest_first(shapes)


def _cheapest_first(shapes: list[Shape]) -> list[Shape]:
    return sorted(set(shapes), key=lambda shape: (shape[0] * shape[1], shape[1]))
