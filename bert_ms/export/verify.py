"""Whether an exported network gives what its Cell gives, on real text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_ms.config import BertConfig
from bert_ms.errors import CheckpointError
from bert_ms.export.folder import Verification
from bert_ms.records import INPUT_NAMES, Encoding
from bert_ms.tokenization import Tokenizer

# Relative to the largest number of any output, or to 1 where that is less.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2}
# Batches where the exported network takes any: one short row alone, and several of mixed length.
SHAPES = ((1, 24), (4, 64))
CHOICES = 3  # of each example of a multiple choice
_SAMPLE = Path(__file__).parent.parent / "sample" / "squad_dev.json"
_SHORTEST = 8

Runner = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]


def verify(
    network: Any,
    exported: Runner,
    *,
    tokenizer: Tokenizer,
    config: BertConfig,
    task: str,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    precision: str = "float32",
) -> Verification:
    """Run rows of the packaged questions and passages through a Cell and through what was exported of it.

    Args:
        network: the Cell, in evaluation mode; in graph mode it is compiled for each shape.
        exported: takes int32 arrays in the order of the inputs, and gives the outputs in the Cell's order.
        tokenizer: of the network.
        config: of the network.
        task: a task name.
        shapes: batch and length (B, S) to try; cut to the longest that the network takes.
        precision: of the exported numbers, a key of TOLERANCES.

    Returns:
        What was compared, and how far apart it was.

    Raises:
        CheckpointError: an output has another shape, is not finite, or is too far from the Cell's.
    """
    from bert_ms.model.running import run_cell

    cut = tuple((batch, min(length, config.max_sequence_length or length)) for batch, length in shapes)
    rows, largest, scale = 0, 0.0, 1.0
    for batch, length in cut:
        arrays = text_batch(tokenizer, config, task, batch, length)
        expected, found = run_cell(network, arrays), [np.asarray(array) for array in exported(arrays)]
        _check_shapes([array.shape for array in expected], [array.shape for array in found], (batch, length))
        rows += batch
        largest = max([largest, *map(_difference, expected, found)])
        scale = max([scale, *(float(np.abs(array).max(initial=0)) for array in expected)])
    tolerance = TOLERANCES[precision] * scale
    if not largest <= tolerance:
        raise CheckpointError(
            f"the exported network differs from the Cell by {largest:.2g} on {rows} rows of text; {tolerance:.2g} is "
            f"allowed. It is not kept: this is a fault of bert_ms or of what runs the file, please report it."
        )
    return Verification(inputs=rows, shapes=cut, max_abs_difference=largest, tolerance=tolerance, passed=True)


def text_batch(tokenizer: Tokenizer, config: BertConfig, task: str, batch: int, length: int) -> list[np.ndarray]:
    """One padded batch of packaged text for a task's network: each row is shorter than the one before.

    Args:
        tokenizer: of the network.
        config: of the network; one with a single token type reads passages alone, others questions on passages.
        task: as of `verify`.
        batch: rows B, or examples of CHOICES rows each.
        length: S of the batch.

    Returns:
        int32 input_ids, attention_mask, token_type_ids [B, S] ([B, C, S] of multiple-choice).
    """
    choices = CHOICES if task == "multiple-choice" else 1
    rows = _encoded(tokenizer, batch * choices, length, has_pairs=config.type_vocab_size > 1)
    padded = [tokenizer.pad(row, length) for row in rows]
    arrays = [np.array([getattr(row, name) for row in padded], np.int32) for name in INPUT_NAMES]
    if choices > 1:
        arrays = [array.reshape(batch, choices, length) for array in arrays]
    return arrays


def _encoded(tokenizer: Tokenizer, count: int, length: int, *, has_pairs: bool) -> list[Encoding]:
    """Rows of real text, the first of the full length and the last of a quarter."""
    texts = _texts()
    found = []
    for row in range(count):
        question, passage = texts[row % len(texts)]
        most = max(min(_SHORTEST, length), length - 3 * length * row // (4 * max(count - 1, 1)))
        pair = passage if has_pairs else None
        first = question if has_pairs else passage
        found.append(tokenizer.encode(first, pair, max_length=most, truncation="longest_first"))
    return found


def _texts() -> list[tuple[str, str]]:
    """Questions and their passages, long ones first."""
    articles = json.loads(_SAMPLE.read_text(encoding="utf-8"))["data"]
    passages = [passage for article in articles for passage in article["paragraphs"]]
    found = [(passage["qas"][0]["question"], passage["context"]) for passage in passages]
    return sorted(found, key=lambda pair: -len(pair[1]))


def _check_shapes(expected: Sequence[tuple[int, ...]], found: Sequence[tuple[int, ...]], at: tuple[int, int]) -> None:
    if list(expected) != list(found):
        raise CheckpointError(
            f"the exported network returns arrays of {', '.join(map(str, found))} for a batch of {at[0]} rows of "
            f"{at[1]} tokens, the Cell {', '.join(map(str, expected))}. It is not kept."
        )


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference of any number; infinite where one of them is no number."""
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return float("inf")
    return float(np.abs(expected - found.astype(np.float32)).max(initial=0))
